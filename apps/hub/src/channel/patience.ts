import { type Backoff, backoffDelay } from '@muster/kube'
import { OciError } from '@muster/oci'

/** Its return is noticed within a quarter of a minute. */
const backoff: Backoff = { baseMs: 1_000, maxMs: 15_000, jitter: 0.2 }

/**
 * Asks a registry that fails ever less often, whoever wants to know: each report of a cluster is a reason to look at its channel again, and a
 * registry in trouble would get the more requests the more clusters there are. In between, and while one of them tries again, the others are
 * given its last error at once.
 */
export class RegistryPatience {
  readonly #monotonicMs: () => number
  readonly #random: () => number
  #failures = 0
  #lastError: unknown
  #quietUntilMs = 0
  #tries = false

  /** @param monotonicMs time that is never set, in milliseconds */
  constructor(monotonicMs: () => number, random: () => number) {
    this.#monotonicMs = monotonicMs
    this.#random = random
  }

  /** @throws what `request` throws, or what the last one threw that has failed */
  async ask<T>(request: () => Promise<T>): Promise<T> {
    if (this.#failures > 0 && (this.#tries || this.#monotonicMs() < this.#quietUntilMs)) throw this.#lastError
    const again = this.#failures > 0
    if (again) this.#tries = true
    try {
      const answer = await request()
      this.#failures = 0
      return answer
    } catch (error) {
      if (error instanceof OciError) {
        if (error.transient) this.#failed(error, again)
        // A refusal is an answer.
        else this.#failures = 0
      }
      throw error
    } finally {
      if (again) this.#tries = false
    }
  }

  #failed(error: OciError, again: boolean): void {
    // Several that were on their way when it began to fail are one failure.
    if (this.#failures > 0 && !again) return
    this.#lastError = error
    this.#quietUntilMs = this.#monotonicMs() + backoffDelay(backoff, this.#failures, this.#random)
    this.#failures += 1
  }
}
