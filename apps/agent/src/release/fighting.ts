import { releaseReasons } from '@muster/api'
import { type Fight, isOver } from '../corrections.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

const lookAgainMs = 60_000

/** What is healthy and fought over is said to be so, with who it is and what can be done. A fight that ended is forgotten. */
export function orFighting(outcome: Outcome, runtime: Pick<ReleaseRuntime, 'fights'>, nowMs: number): Outcome {
  for (const [key, fights] of runtime.fights) if (fights.every((fight) => isOver(fight, nowMs))) runtime.fights.delete(key)
  const [first] = [...runtime.fights]
  if (first === undefined || !outcome.ready) return outcome
  const [key, fights] = first
  const more = runtime.fights.size > 1 ? ` And ${runtime.fights.size - 1} more objects.` : ''
  return {
    ...outcome,
    reason: releaseReasons.fighting,
    message: `${fights.map((fight) => sentence(key, fight)).join(' ')}${more}`,
    requeueAfterMs: lookAgainMs,
  }
}

function sentence(key: string, { manager, paths, times, sinceMs, waitMs }: Fight): string {
  const since = new Date(sinceMs).toISOString()
  const who = manager === undefined ? 'Somebody whom the API server does not name' : `Field manager "${manager}"`
  return `${who} has written ${paths.join(', ')} of ${key} ${times} times since ${since}; it is put back ${Math.ceil(waitMs / 1000)} s later each time. Stop it, or leave the field to it: drift.controllers or drift.ignore of the placement.`
}
