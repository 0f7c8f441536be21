import { refOf } from '@muster/reconcile'
import { isAsJudged } from '../watches.ts'
import type { Step } from './context.ts'

/** After so long, in milliseconds, the watches have seen what was applied. */
export const settleMs = 1_500
/** What is applied is compared with what the watches hold after so long again, in milliseconds, in case an event of theirs was lost. */
export const resyncMs = 10 * 60_000

/**
 * A change by another in the very moment of our apply can be seen before we know what our apply amounts to, and nothing would say so
 * again. So what was applied is compared once more with what was seen, a little later.
 */
export const recheck: Step = async ({ clock, suspect, watches }, { runtime }) => {
  const now = clock.now().getTime()
  if (now - runtime.appliedAtMs < settleMs || (runtime.rechecked && now - runtime.recheckedAtMs < resyncMs)) return undefined
  runtime.rechecked = true
  runtime.recheckedAtMs = now
  for (const [key, tracked] of runtime.tracked) {
    const observed = watches.get(refOf(tracked.planned.object))
    if (observed === 'unknown') runtime.rechecked = false
    else if (observed === undefined || !isAsJudged(tracked, observed)) suspect(key)
  }
  return undefined
}
