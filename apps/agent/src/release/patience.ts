import type { FailedTry, Outcome } from './runtime.ts'

/** How a release stands that has to wait with this before it is tried again; nothing when it may be. */
export function tooEarly(failed: FailedTry | undefined, of: string, now: Date): Outcome | undefined {
  const leftMs = failed?.of === of ? failed.untilMs - now.getTime() : 0
  return failed === undefined || leftMs <= 0 ? undefined : { ...failed.outcome, requeueAfterMs: leftMs }
}

/** How often in a row this has failed now. */
export function timesOf(failed: FailedTry | undefined, of: string): number {
  return failed?.of === of ? failed.times + 1 : 1
}
