import type { Clock } from './clock.ts'

/** Limits a rate: `burst` at once, then one each `refillMs` milliseconds. */
export class TokenBucket {
  readonly #burst: number
  readonly #refillMs: number
  readonly #clock: Clock
  #tokens: number
  #countedAt: number

  constructor(burst: number, refillMs: number, clock: Clock) {
    this.#burst = burst
    this.#refillMs = refillMs
    this.#clock = clock
    this.#tokens = burst
    this.#countedAt = clock.now()
  }

  /** True where nothing was taken lately. */
  get full(): boolean {
    this.#refill()
    return this.#tokens >= this.#burst
  }

  /** Takes one; false where there is none. */
  take(): boolean {
    this.#refill()
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  #refill(): void {
    const now = this.#clock.now()
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#countedAt) / this.#refillMs)
    this.#countedAt = now
  }
}
