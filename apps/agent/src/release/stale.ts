import { releaseReasons } from '@muster/api'
import type { Outcome } from './runtime.ts'

const lookAgainMs = 60_000

/** How a release stands whose bundle is not applied yet when the channel that asks for it has expired. */
export function waitsForChannel(expiredAt: string, version: string): Outcome {
  return {
    ready: false,
    reason: releaseReasons.stale,
    message: `The channel expired at ${expiredAt} before version ${version} was applied: it waits for a new channel, and what ran before is kept.`,
    requeueAfterMs: lookAgainMs,
  }
}

/** What is healthy under a channel that has expired is said to be so: it runs, and it may be out of date. */
export function orStale(outcome: Outcome, expiredAt: string | undefined): Outcome {
  if (expiredAt === undefined || !outcome.ready) return outcome
  const message = `The channel expired at ${expiredAt}: what runs is kept, and nothing new is taken. ${outcome.message}`
  return { ...outcome, reason: releaseReasons.stale, message }
}
