import { releaseReasons } from '@muster/api'
import { type Health, nameOf, refOf, summarizeHealth } from '@muster/reconcile'
import type { Watches } from '../watches.ts'
import type { Step } from './context.ts'
import type { Outcome, ReleaseRuntime, Tracked } from './runtime.ts'

/** Watches tell of every change; this is for what says nothing. */
const lookAgainMs = 10_000

/**
 * What an earlier version left is kept until the new one is healthy, as it may still be needed; but no longer than this, in milliseconds,
 * as it may be the very thing that keeps the new one from becoming healthy.
 */
const leftoverGraceMs = 120_000

/** Whether what was applied is healthy. Nothing waits here: each change of an object asks again. */
export const assess: Step = async ({ clock, watches }, { runtime }) => {
  const outcome = assessRelease(runtime, watches)
  return outcome.ready || clock.now().getTime() - runtime.appliedAtMs >= leftoverGraceMs ? undefined : outcome
}

/** How a release stands by the health of its objects. */
export function assessRelease(runtime: ReleaseRuntime, watches: Pick<Watches, 'get'>): Outcome {
  const objects = [...runtime.tracked.values()].map((tracked) => ({
    name: nameOf(refOf(tracked.planned.object)),
    health: healthOf(tracked, watches),
  }))
  const summary = summarizeHealth(objects)
  if (summary.state === 'Healthy') return { ready: true, reason: releaseReasons.healthy, message: summary.message }
  const reason = summary.state === 'Degraded' ? releaseReasons.degraded : releaseReasons.progressing
  return { ready: false, reason, message: summary.message, requeueAfterMs: lookAgainMs }
}

/** The health of what was applied, not of what was there before it. */
export function healthOf(tracked: Tracked, watches: Pick<Watches, 'get'>): Health {
  const observed = watches.get(refOf(tracked.planned.object))
  if (observed === 'unknown') return { state: 'Progressing', reason: 'NotObserved', message: 'It is not watched yet.' }
  if (observed === undefined) return { state: 'Progressing', reason: 'Missing', message: 'It is not there.' }
  const behind = observed.generation !== undefined && tracked.generation !== undefined && observed.generation < tracked.generation
  // What was seen before our last write says nothing about what we wrote.
  if (observed.uid !== tracked.uid || behind)
    return { state: 'Progressing', reason: 'NotObserved', message: 'What was applied has not been seen yet.' }
  return observed.health
}
