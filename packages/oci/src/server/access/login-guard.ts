import { createHash } from 'node:crypto'

/** Different wrong credentials from one address within a window. A client with an old password repeats one: that is no guessing. */
const guesses = 10
const windowMs = 60_000
const addresses = 1024
const rememberedPerAddress = 16

interface Seen {
  windowEndsMs: number
  readonly wrong: Set<string>
  readonly right: Set<string>
}

/**
 * Slows the guessing of passwords: an address that tried ten different wrong ones in a minute is not listened to for the rest of it,
 * unless it gives credentials that were right before. So whoever guesses cannot lock out who shares his address. Keeps hashes only, and
 * of a bounded number of addresses.
 */
export class LoginGuard {
  readonly #now: () => number
  readonly #seen = new Map<string, Seen>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Seconds to wait before these credentials are looked at, or 0. */
  wait(address: string, authorization: string): number {
    const seen = this.#of(address)
    if (seen === undefined || seen.wrong.size < guesses || seen.right.has(hash(authorization))) return 0
    return Math.max(1, Math.ceil((seen.windowEndsMs - this.#now()) / 1000))
  }

  wrong(address: string, authorization: string): void {
    this.#remember(address, 'wrong', authorization)
  }

  right(address: string, authorization: string): void {
    this.#remember(address, 'right', authorization)
  }

  #remember(address: string, what: 'wrong' | 'right', authorization: string): void {
    const seen = this.#of(address) ?? { windowEndsMs: this.#now() + windowMs, wrong: new Set(), right: new Set() }
    // The oldest address goes first.
    this.#seen.delete(address)
    this.#seen.set(address, seen)
    seen[what].add(hash(authorization))
    if (seen[what].size > rememberedPerAddress) for (const first of seen[what].values().take(1)) seen[what].delete(first)
    if (this.#seen.size > addresses) for (const first of this.#seen.keys().take(1)) this.#seen.delete(first)
  }

  #of(address: string): Seen | undefined {
    const seen = this.#seen.get(address)
    if (seen !== undefined && this.#now() >= seen.windowEndsMs) {
      seen.wrong.clear()
      seen.windowEndsMs = this.#now() + windowMs
    }
    return seen
  }
}

function hash(authorization: string): string {
  return createHash('sha256').update(authorization, 'utf8').digest('base64')
}
