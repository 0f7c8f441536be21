import { KeyedQueue } from '../keyed-queue.ts'
import { matches } from '../pattern.ts'
import { Refusal } from '../refusal.ts'
import type { Store } from '../store.ts'

/** How much the repositories of a pattern may hold together. What several of them hold counts once. */
export interface Quota {
  readonly repositories: string
  readonly bytes: number
}

export interface QuotaUsage extends Quota {
  readonly used: number
}

interface Ledger {
  readonly quota: Quota
  /** Bytes held when last counted, and what came since. */
  used: number
  countedMs: number | undefined
  /** Something came since it was counted, which may have been there before. */
  estimated: boolean
}

/** A quota that seems full is counted again before it refuses; where nothing came since, no more often than this. */
const recountMs = 1000
/** Without any refusal it is counted again after this: what was deleted frees room. */
const staleMs = 10 * 60 * 1000

/** Bytes that are on their way into repositories, and may come to stay. */
export class Claim {
  bytes = 0
  readonly ledgers: readonly Ledger[]

  constructor(ledgers: readonly Ledger[]) {
    this.ledgers = ledgers
  }
}

/**
 * Keeps quotas. What is on its way counts as if it were there, so pushes in parallel cannot pass the limit together; what has arrived
 * is added, and counted from disk again before anything is refused for it.
 */
export class Quotas {
  readonly #store: Store
  readonly #now: () => number
  readonly #ledgers: readonly Ledger[]
  readonly #claims = new Set<Claim>()
  readonly #queue = new KeyedQueue()

  constructor(store: Store, quotas: readonly Quota[], now: () => number) {
    this.#store = store
    this.#now = now
    this.#ledgers = quotas.map((quota) => ({ quota, used: 0, countedMs: undefined, estimated: false }))
  }

  applyTo(repository: string): boolean {
    return this.#of(repository).length > 0
  }

  /** Whether what one holds counts for every quota of the other. */
  countTogether(holder: string, repository: string): boolean {
    const held = this.#of(holder)
    return this.#of(repository).every((ledger) => held.includes(ledger))
  }

  /** To be given back by {@link release}, or by {@link keep} when what it stood for is there. */
  claim(repository: string): Claim {
    const claim = new Claim(this.#of(repository))
    this.#claims.add(claim)
    return claim
  }

  /** Lets a claim grow to `bytes`. @throws Refusal DENIED */
  async grow(claim: Claim, bytes: number): Promise<void> {
    if (bytes <= claim.bytes) return
    for (const ledger of claim.ledgers) {
      await this.#refresh(ledger, staleMs)
      if (this.#total(ledger) - claim.bytes + bytes > ledger.quota.bytes) await this.#refresh(ledger, recountMs)
      const total = this.#total(ledger)
      if (total - claim.bytes + bytes > ledger.quota.bytes) {
        const { repositories, bytes: limit } = ledger.quota
        const sentence = `the quota of ${repositories} is ${limit} bytes, of which ${total - claim.bytes} are taken: ${bytes} more do not fit; delete what is not needed, or have the quota raised`
        throw new Refusal(403, 'DENIED', sentence)
      }
    }
    claim.bytes = bytes
  }

  release(claim: Claim): void {
    this.#claims.delete(claim)
  }

  keep(claim: Claim): void {
    if (!this.#claims.delete(claim)) return
    for (const ledger of claim.ledgers) {
      ledger.used += claim.bytes
      ledger.estimated = true
    }
  }

  /** Something was removed: all is counted again when it is asked for. */
  forget(): void {
    for (const ledger of this.#ledgers) ledger.estimated = true
  }

  async usage(): Promise<QuotaUsage[]> {
    const found: QuotaUsage[] = []
    for (const ledger of this.#ledgers) {
      await this.#refresh(ledger, recountMs)
      found.push({ ...ledger.quota, used: this.#total(ledger) })
    }
    return found
  }

  #of(repository: string): Ledger[] {
    return this.#ledgers.filter(({ quota }) => matches(quota.repositories, repository))
  }

  #total(ledger: Ledger): number {
    let total = ledger.used
    for (const claim of this.#claims) if (claim.ledgers.includes(ledger)) total += claim.bytes
    return total
  }

  async #refresh(ledger: Ledger, olderThanMs: number): Promise<void> {
    await this.#queue.run(ledger.quota.repositories, async () => {
      const exact = !ledger.estimated || olderThanMs > recountMs
      if (exact && ledger.countedMs !== undefined && this.#now() - ledger.countedMs < olderThanMs) return
      ledger.estimated = false
      const before = ledger.used
      const counted = await this.#count(ledger.quota)
      // What arrived while it was counted may not be in it: rather counted twice, until the next time.
      ledger.used = counted + (ledger.countedMs === undefined ? 0 : Math.max(0, ledger.used - before))
      ledger.countedMs = this.#now()
    })
  }

  async #count({ repositories }: Quota): Promise<number> {
    const hexes = new Set<string>()
    for (const name of await this.#store.allRepositories()) {
      if (!matches(repositories, name)) continue
      for (const hex of await this.#store.heldBlobs(name)) hexes.add(hex)
      for (const hex of await this.#store.heldManifests(name)) hexes.add(hex)
    }
    let bytes = 0
    for (const hex of hexes) bytes += (await this.#store.contentSize(`sha256:${hex}`)) ?? 0
    return bytes
  }
}
