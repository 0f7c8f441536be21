import { type InventoryEntry, type ReleaseReason, releaseReasons } from '@muster/api'
import { entryRef, objectKey } from '@muster/reconcile'
import type { ChannelContent } from '@muster/trust'

/** What a release wants under a channel, once its bundle was read. */
export interface Wishes {
  /** The target for which this holds; see `targetOf`. */
  readonly target: string
  /** Generation of the newest channel that has this target. */
  readonly generation: number
  /** Keys of objects. */
  readonly keys: ReadonlySet<string>
}

/** What of a release the rules of handover look at. */
export interface Claimant {
  readonly name: string
  readonly inventory: readonly InventoryEntry[]
  readonly wishes: Wishes | undefined
  /** Generation of the channel under which what it is to become was refused. */
  readonly settled: number | undefined
}

/** All releases that are known here. */
export interface Claimants {
  readonly get: (name: string) => Claimant | undefined
  readonly all: () => readonly Claimant[]
}

/** Reasons under which a release may still take what the channel wants; every other is a refusal, and what is refused wants nothing new. */
const mayStillTake: ReadonlySet<ReleaseReason> = new Set([
  releaseReasons.progressing,
  releaseReasons.applyFailed,
  releaseReasons.registryUnreachable,
  releaseReasons.suspended,
  releaseReasons.stale,
])

/** Whether a release that stands so, with nothing known of what it wants, will want nothing new under this channel. */
export function isRefusal(reason: ReleaseReason): boolean {
  return !mayStillTake.has(reason)
}

/**
 * Who keeps an object that moves from one release to another. The rules, under one channel:
 * - a release that still wants an object keeps it;
 * - one that is known not to want it, or that the channel does not have, gives it to the one that does, with its uid, and never deletes it;
 * - nothing is deleted while it is not known what every release wants, except those that were refused.
 * Pure.
 */
export class Handover {
  readonly #channel: Pick<ChannelContent, 'generation' | 'releases'>
  readonly #claimants: Claimants
  readonly #wanted: ReadonlySet<string>

  constructor(channel: Pick<ChannelContent, 'generation' | 'releases'>, claimants: Claimants) {
    this.#channel = channel
    this.#claimants = claimants
    this.#wanted = new Set(channel.releases.map(({ name }) => name))
  }

  /** Releases of the channel of which it is not known what they want. */
  undecided(except: string): string[] {
    return [...this.#wanted].filter((name) => name !== except && !this.#isDecided(name))
  }

  #isDecided(name: string): boolean {
    const claimant = this.#claimants.get(name)
    const { generation } = this.#channel
    return claimant !== undefined && (claimant.wishes?.generation === generation || claimant.settled === generation)
  }

  /** Whether the release that has an object lets another have it. */
  letsGo(holder: string, key: string): boolean {
    const claimant = this.#claimants.get(holder)
    if (claimant === undefined) return false
    if (!this.#wanted.has(holder)) return true
    return claimant.wishes?.generation === this.#channel.generation && !claimant.wishes.keys.has(key)
  }

  /** The release that wants an object which this one does not want any more. */
  heirOf(key: string, except: string): string | undefined {
    const { generation } = this.#channel
    return this.#claimants
      .all()
      .find(({ name, wishes }) => name !== except && this.#wanted.has(name) && wishes?.generation === generation && wishes.keys.has(key))
      ?.name
  }

  /** The entries of an object that others have, who let it go. */
  offers(release: string, key: string): { readonly by: string; readonly entry: InventoryEntry }[] {
    return this.#claimants.all().flatMap(({ name: by, inventory }) => {
      if (by === release || !this.letsGo(by, key)) return []
      return inventory.filter((entry) => objectKey(entryRef(entry)) === key).map((entry) => ({ by, entry }))
    })
  }
}

/** Whether an inventory names the very object of an entry. */
export function has(inventory: readonly InventoryEntry[], entry: InventoryEntry): boolean {
  const key = objectKey(entryRef(entry))
  return inventory.some((one) => objectKey(entryRef(one)) === key && (entry.uid === undefined || one.uid === entry.uid))
}

/** An entry as it stands in the inventory of a release that it is given to. */
export function givenTo(release: string, { madeBy, ...entry }: InventoryEntry): InventoryEntry {
  return madeBy === undefined || madeBy === release ? entry : { ...entry, madeBy }
}
