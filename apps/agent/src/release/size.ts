import { type InventoryEntry, releaseReasons } from '@muster/api'
import { plannedOf } from './planned.ts'
import type { Outcome } from './runtime.ts'

/**
 * What a Release may take of the cluster's storage for its objects, in bytes. etcd takes 1.5 MiB at most ("--max-request-bytes"); the rest is
 * for all else that is bounded in it: conditions, history, the settings of the last good version.
 */
const maxListedBytes = 1_400_000
/** No object is listed in more, in bytes: a name has 253 characters at most, and so have its kind and group. */
const largestEntryBytes = 1_400
/** Known once an object was applied: its uid, and what stands for it. */
const uid = '00000000-0000-0000-0000-000000000000'
const ownership = '000000000000000000000000'

const againMs = 30_000

/** What the lists of objects come to in a Release, in bytes: what is written before the first object is, and what is known at the end. */
export function listedBytes(inventory: readonly InventoryEntry[]): number {
  const complete = inventory.map((entry) => ({ ...entry, uid, ownership }))
  return Buffer.byteLength(JSON.stringify([plannedOf(inventory), complete]))
}

/**
 * Why a version cannot be applied, as its release could not remember all that it made, and prune would not know it; undefined where it can.
 * @param inventory what there may be while it is applied: what was there before, and what comes
 */
export function tooLarge(inventory: readonly InventoryEntry[], { name, version }: { name: string; version: string }): Outcome | undefined {
  if (inventory.length * largestEntryBytes <= maxListedBytes) return undefined
  const bytes = listedBytes(inventory)
  if (bytes <= maxListedBytes) return undefined
  const message =
    `Version ${version} is not applied: with what is there now, release ${name} would have ${inventory.length} objects, and the list of them ` +
    `(${bytes} bytes) is larger than the cluster stores in its Release (${maxListedBytes}). Split the bundle into several releases.`
  return { ready: false, reason: releaseReasons.tooLarge, message, requeueAfterMs: againMs }
}
