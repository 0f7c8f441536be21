import type { KubeError } from './error.ts'

/** A request is repeated at most this often. */
const mostRetries = 5
/** Delay before the first repetition after a failure, in milliseconds; doubles each time. */
const baseMs = 100
/** A request whose effect is the same when it arrives twice is repeated this often after a failure in between. */
const mostFailures = 3

/**
 * How long to wait before a request is repeated, in milliseconds; `undefined`: give the error to the caller.
 * What the server turned away with a time (429, 503 with Retry-After) was not done, so any request may come again.
 * Where it is not known whether it was done, only a request that may safely come twice is repeated.
 */
export function retryDelay(error: KubeError, tried: number, safeToRepeat: boolean, random: () => number): number | undefined {
  if (tried >= mostRetries) return undefined
  const turnedAway = error.code === 'TooManyRequests' || error.status === 503
  if (turnedAway && error.retryAfterMs !== undefined) return error.retryAfterMs * (1 + 0.2 * random())
  if (!safeToRepeat || !error.transient || tried >= mostFailures) return undefined
  if (error.code === 'Unreachable' || error.code === 'ServerError') return baseMs * 2 ** tried * (1 + random())
  return undefined
}
