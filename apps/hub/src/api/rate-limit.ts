/** How often something may be done: `burst` times at once, then once per `refillMs` milliseconds. */
export interface Rate {
  readonly burst: number
  readonly refillMs: number
}

/** A token bucket for each key. The number of keys is bounded: the one not seen for longest goes first. */
export class RateLimit {
  readonly #rate: Rate
  readonly #maxKeys: number
  readonly #buckets = new Map<string, { readonly tokens: number; readonly at: number }>()

  constructor(rate: Rate, maxKeys: number) {
    this.#rate = rate
    this.#maxKeys = maxKeys
  }

  /** Takes one where there is one, and gives 0; else gives the milliseconds until there is. `nowMs` must not go back. */
  take(key: string, nowMs: number): number {
    const { burst, refillMs } = this.#rate
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: nowMs }
    const tokens = Math.min(burst, bucket.tokens + Math.max(0, nowMs - bucket.at) / refillMs)
    const granted = tokens >= 1
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens: granted ? tokens - 1 : tokens, at: nowMs })
    const oldest = this.#buckets.keys().next()
    if (this.#buckets.size > this.#maxKeys && !oldest.done) this.#buckets.delete(oldest.value)
    return granted ? 0 : Math.ceil((1 - tokens) * refillMs)
  }
}
