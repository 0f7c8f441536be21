import { setTimeout as sleep } from 'node:timers/promises'

/** How fast a registry may be used. */
export interface RateLimits {
  readonly requestsPerSecond?: number | undefined
  /** Of content in both directions together. */
  readonly bytesPerSecond?: number | undefined
}

/** Bytes may be early by so much, so that they are not waited for one by one. */
const burstMs = 50

/** Holds requests and bytes to one registry back to what was allowed, and all of them when the registry asks for a pause. */
export class Pace {
  readonly #msPerRequest: number
  readonly #msPerByte: number
  readonly #now: () => number
  /** When the next request may go, and when the bytes so far are due. */
  #requestAt = 0
  #bytesAt = 0
  #heldUntil = 0

  constructor(limits: RateLimits, now: () => number) {
    this.#msPerRequest = limits.requestsPerSecond === undefined ? 0 : 1000 / limits.requestsPerSecond
    this.#msPerByte = limits.bytesPerSecond === undefined ? 0 : 1000 / limits.bytesPerSecond
    this.#now = now
  }

  /** Waits for a request's turn. */
  async request(signal: AbortSignal | undefined): Promise<void> {
    const now = this.#now()
    const at = Math.max(now, this.#requestAt, this.#heldUntil)
    this.#requestAt = at + this.#msPerRequest
    await wait(at - now, signal)
  }

  /** Passes content on no faster than allowed. */
  async *bytes(content: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    if (this.#msPerByte === 0) {
      yield* content
      return
    }
    for await (const chunk of content) {
      const now = this.#now()
      this.#bytesAt = Math.max(now, this.#bytesAt) + chunk.length * this.#msPerByte
      if (this.#bytesAt - now > burstMs) await wait(this.#bytesAt - now, signal)
      yield chunk
    }
  }

  /** No request goes for so long: the registry asked for it (Retry-After). */
  hold(ms: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, this.#now() + ms)
  }
}

async function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  if (ms <= 0) return
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal })
  } catch (cause) {
    signal?.throwIfAborted()
    throw cause
  }
}
