import type { KubeObject, Ref } from '@muster/kube'
import { groupOf, objectKey, refOf } from './identity.ts'
import { waveOf } from './waves.ts'

/** An object that a release made: what prune may delete, and nothing else. */
export interface InventoryEntry {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace?: string | undefined
  readonly name: string
  /** Known once the object was applied. */
  readonly uid?: string | undefined
  /** `ownershipHash` as it was after the last apply: after a restart it says whether the object is still as it was applied. */
  readonly ownership?: string | undefined
  /** In which wave it was applied, where that is not 0: prune goes the other way. */
  readonly wave?: number | undefined
  /**
   * The release that made it and whose label it bears, where that does not have it any more and left it to this one, which has objects in it: the
   * last one takes it away. By itself this gives no say over what it holds.
   */
  readonly madeBy?: string | undefined
}

/** Which object an entry is. */
export function entryRef(entry: InventoryEntry): Ref {
  const { apiVersion, kind, name, namespace } = entry
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) }
}

/** The entry of an object, with its uid where it has one, and with what it was applied as where that is known. */
export function entryOf(object: KubeObject, ownership?: string): InventoryEntry {
  return entry(refOf(object), { uid: object.metadata.uid, ownership, wave: waveOf(object) })
}

function entry(ref: Ref, { uid, ownership, wave, madeBy }: Pick<InventoryEntry, 'uid' | 'ownership' | 'wave' | 'madeBy'>): InventoryEntry {
  return {
    ...ref,
    ...(uid === undefined ? {} : { uid }),
    ...(ownership === undefined ? {} : { ownership }),
    ...(wave === undefined || wave === 0 ? {} : { wave }),
    ...(madeBy === undefined ? {} : { madeBy }),
  }
}

/** Entries of both, each object once; what `b` says of an object wins, except that what is known of it is not forgotten. */
export function unionInventory(a: readonly InventoryEntry[], b: readonly InventoryEntry[]): InventoryEntry[] {
  const result = new Map(a.map((entry) => [objectKey(entryRef(entry)), entry]))
  for (const said of b) {
    const key = objectKey(entryRef(said))
    const known = result.get(key)
    const { uid = known?.uid, ownership = known?.ownership, wave } = said
    // Whoever has applied it has made it its own.
    const madeBy = said.madeBy ?? (said.uid === undefined ? known?.madeBy : undefined)
    result.set(key, entry(entryRef(said), { uid, ownership, wave, madeBy }))
  }
  return sorted([...result.values()])
}

/** The inventory with what is known of one of its objects since it was applied again. */
export function renewedInventory(inventory: readonly InventoryEntry[], renewed: InventoryEntry): InventoryEntry[] {
  const { kind, name, namespace, apiVersion, uid, ownership } = renewed
  const isIt = (one: InventoryEntry) =>
    one.name === name && one.kind === kind && one.namespace === namespace && groupOf(one.apiVersion) === groupOf(apiVersion)
  if (!inventory.some(isIt)) return unionInventory(inventory, [renewed])
  return inventory.map((one) => (isIt(one) ? entry(entryRef(one), { uid, ownership, wave: one.wave }) : one))
}

/** Whether an inventory has an object, by its key, that this release made and left to it. */
export function isLeftBy(inventory: readonly InventoryEntry[], release: string, key: string): boolean {
  return inventory.some((one) => one.madeBy === release && objectKey(entryRef(one)) === key)
}

/** Entries of `a` whose object is not in `b`. */
export function subtractInventory(a: readonly InventoryEntry[], b: readonly InventoryEntry[]): InventoryEntry[] {
  const keys = new Set(b.map((entry) => objectKey(entryRef(entry))))
  return a.filter((entry) => !keys.has(objectKey(entryRef(entry))))
}

function sorted(entries: InventoryEntry[]): InventoryEntry[] {
  const keyed = entries.map((entry) => ({ entry, key: objectKey(entryRef(entry)) }))
  return keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)).map(({ entry }) => entry)
}
