/** Exponential backoff. Times in milliseconds. */
export interface Backoff {
  readonly baseMs: number
  readonly maxMs: number
  /** Share of the delay that chance may add, 0 to 1. */
  readonly jitter: number
}

/** Per item of a work queue: 5 ms to 1,000 s, as controller-runtime does. */
export const itemBackoff: Backoff = { baseMs: 5, maxMs: 1_000_000, jitter: 0 }

/** For a connection that failed. */
export const connectionBackoff: Backoff = { baseMs: 100, maxMs: 15_000, jitter: 0.5 }

/** Delay before try number `failures + 1`: base·2^failures up to the maximum, plus jitter. `failures` counts from 0. */
export function backoffDelay(backoff: Backoff, failures: number, random: () => number): number {
  // 2^40 is beyond any maximum here; it keeps the product finite
  const delay = Math.min(backoff.maxMs, backoff.baseMs * 2 ** Math.min(failures, 40))
  return delay * (1 + backoff.jitter * random())
}
