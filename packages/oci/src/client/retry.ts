import { setTimeout as sleep } from 'node:timers/promises'
import { OciError } from '../errors.ts'

/** How transient failures are retried. */
export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number
  /** Wait before the second try, in milliseconds; doubled each time, and jittered between half and all of it. */
  readonly baseMs: number
  /** The longest wait, in milliseconds. A registry that asks for more with Retry-After is not waited for. */
  readonly maximumMs: number
}

export const defaultRetry: RetryPolicy = { attempts: 5, baseMs: 250, maximumMs: 30_000 }

/** How long to wait after failure number `failures` (from 1), or undefined when it is of no use to try again. */
export function retryDelay(policy: RetryPolicy, failures: number, error: unknown, random: () => number): number | undefined {
  if (!(error instanceof OciError) || !error.transient || failures >= policy.attempts) return undefined
  const backoff = Math.min(policy.maximumMs, policy.baseMs * 2 ** (failures - 1)) * (0.5 + random() / 2)
  if (error.retryAfterMs === undefined) return backoff
  return error.retryAfterMs > policy.maximumMs ? undefined : Math.max(error.retryAfterMs, backoff)
}

/** Counts failures since the last progress, and waits between tries. */
export class Retries {
  readonly #policy: RetryPolicy
  readonly #random: () => number
  readonly #signal: AbortSignal | undefined
  #failures = 0

  constructor(policy: RetryPolicy, random: () => number, signal: AbortSignal | undefined) {
    this.#policy = policy
    this.#random = random
    this.#signal = signal
  }

  progressed(): void {
    this.#failures = 0
  }

  /** Waits, or throws `error` when trying again is of no use, or the signal's reason. */
  async failed(error: unknown): Promise<void> {
    this.#signal?.throwIfAborted()
    this.#failures += 1
    const delay = retryDelay(this.#policy, this.#failures, error, this.#random)
    if (delay === undefined) throw error
    try {
      await sleep(delay, undefined, this.#signal === undefined ? {} : { signal: this.#signal })
    } catch (cause) {
      this.#signal?.throwIfAborted()
      throw cause
    }
  }
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, 10.2.3). */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (/^[0-9]{1,9}$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs)
}
