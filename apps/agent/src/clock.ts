import { setTimeout as pause } from 'node:timers/promises'

/** Time and chance, so that tests decide both. */
export interface Clock {
  now(): Date
  /** Between 0 and 1. */
  random(): number
  /** Resolves after this many milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  random: Math.random,
  sleep: async (ms, signal) => {
    await pause(ms, undefined, { signal })
  },
}

/** Exponential backoff with full jitter in its upper half: between `base·2^n / 2` and `base·2^n`, at most `maxMs`. */
export function backoffMs(
  attempt: number,
  { baseMs, maxMs }: { readonly baseMs: number; readonly maxMs: number },
  random: () => number,
): number {
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
  return full / 2 + (full / 2) * random()
}
