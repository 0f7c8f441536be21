import { setTimeout as pause } from 'node:timers/promises'

/** Time and chance, so that tests decide both. */
export interface Clock {
  now(): Date
  /** Milliseconds since some moment, which nobody can set: `performance.now()`. */
  monotonicMs(): number
  /** Between 0 and 1. */
  readonly random: () => number
  /** Resolves after this many milliseconds, or rejects with the signal's reason. */
  sleep(ms: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  random: Math.random,
  sleep: async (ms, signal) => {
    await pause(ms, undefined, { signal })
  },
}

/**
 * A clock that does not go back behind what is known to have been: the time at which the hub signed the channel that was accepted last, and
 * what has passed since. So what has ended, such as a channel or a grant, does not begin again when somebody sets the machine's clock back. Of
 * a clock that was set forth nothing is remembered: set right again, it counts.
 */
export class CertainClock implements Clock {
  readonly #clock: Clock
  #known: { readonly signedMs: number; readonly atMs: number; readonly sinceMs: number } | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * A channel that comes late takes nothing back. One that was signed earlier than the one before it does: the hub has set its clock right.
   * @param signedAt ISO 8601, of the newest channel that was accepted
   */
  learn(signedAt: string): void {
    const signedMs = Date.parse(signedAt)
    if (Number.isNaN(signedMs)) return
    const least = this.#known === undefined || signedMs < this.#known.signedMs ? signedMs : Math.max(signedMs, this.#least(this.#known))
    this.#known = { signedMs, atMs: least, sinceMs: this.monotonicMs() }
  }

  // Each is a clock's own, so that it may be handed on by itself.
  readonly now = (): Date => {
    const now = this.#clock.now()
    if (this.#known === undefined) return now
    const least = this.#least(this.#known)
    return now.getTime() >= least ? now : new Date(least)
  }

  readonly monotonicMs = (): number => this.#clock.monotonicMs()

  readonly random = (): number => this.#clock.random()

  readonly sleep = (ms: number, signal: AbortSignal): Promise<void> => this.#clock.sleep(ms, signal)

  #least({ atMs, sinceMs }: { readonly atMs: number; readonly sinceMs: number }): number {
    return atMs + this.monotonicMs() - sinceMs
  }
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
