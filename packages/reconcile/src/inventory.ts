import type { KubeObject, Ref } from '@muster/kube'
import { objectKey, refOf } from './identity.ts'

/** An object that a release made: what prune may delete, and nothing else. */
export interface InventoryEntry {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace?: string | undefined
  readonly name: string
  /** Known once the object was applied. */
  readonly uid?: string | undefined
}

/** Which object an entry is. */
export function entryRef(entry: InventoryEntry): Ref {
  const { apiVersion, kind, name, namespace } = entry
  return { apiVersion, kind, name, ...(namespace === undefined ? {} : { namespace }) }
}

/** The entry of an object, with its uid where it has one. */
export function entryOf(object: KubeObject): InventoryEntry {
  const { uid } = object.metadata
  return { ...refOf(object), ...(uid === undefined ? {} : { uid }) }
}

/** Entries of both, each object once; what `b` says of an object wins, except that a known uid is never forgotten. */
export function unionInventory(a: readonly InventoryEntry[], b: readonly InventoryEntry[]): InventoryEntry[] {
  const result = new Map(a.map((entry) => [objectKey(entryRef(entry)), entry]))
  for (const entry of b) {
    const key = objectKey(entryRef(entry))
    const uid = entry.uid ?? result.get(key)?.uid
    result.set(key, { ...entryRef(entry), ...(uid === undefined ? {} : { uid }) })
  }
  return sorted([...result.values()])
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
