import { createHash } from 'node:crypto'
import type { KubeObject } from '@muster/kube'
import { asFields, type Fields, hashFields, leaves, type Path, touches, union, valueAt } from './fields.ts'

/** One entry of `metadata.managedFields`: who owns which fields, since when. */
export interface FieldOwner {
  readonly manager: string
  readonly operation: string
  /** RFC 3339. */
  readonly time?: string
  readonly subresource?: string
  readonly fields: Fields
}

/** Reads `metadata.managedFields`. Entries in another format than FieldsV1 are left out. */
export function fieldOwners(object: KubeObject): FieldOwner[] {
  const entries: unknown = object.metadata.managedFields
  if (!Array.isArray(entries)) return []
  return entries.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return []
    const { manager, operation, time, subresource, fieldsType, fieldsV1 } = entry as Record<string, unknown>
    if (typeof manager !== 'string' || typeof operation !== 'string' || fieldsType !== 'FieldsV1') return []
    return [
      {
        manager,
        operation,
        ...(typeof time === 'string' ? { time } : {}),
        ...(typeof subresource === 'string' && subresource !== '' ? { subresource } : {}),
        fields: asFields(fieldsV1),
      },
    ]
  })
}

/** What `manager` owns by server-side apply; undefined when it owns nothing. */
export function ownFields(object: KubeObject, manager: string): Fields | undefined {
  const own = fieldOwners(object).filter((entry) => isOwn(entry, manager))
  if (own.length === 0) return undefined
  return own.map((entry) => entry.fields).reduce(union)
}

/** True for what a manager owns by apply on the object itself, not through a subresource. */
export function isOwn(entry: FieldOwner, manager: string): boolean {
  return entry.manager === manager && entry.operation === 'Apply' && entry.subresource === undefined
}

/** One hash is kept of each object of each release, in memory and in the Release. A part of a longer string would keep all of it. */
const hashBytes = 12

/**
 * What stands for "as we applied it": the hash of the fields that `manager` owns, and of the time at which it last changed something. It
 * changes exactly when someone takes a field from the manager or removes one, or writes under the manager's name, and not when the object's
 * status, defaults or others' fields change, nor by an apply that changes nothing. `''` when it owns nothing.
 */
export function ownershipHash(object: KubeObject, manager: string): string {
  const own = fieldOwners(object).filter((entry) => isOwn(entry, manager))
  if (own.length === 0) return ''
  const times = own.map(({ time = '' }) => time).sort()
  return hashed([hashFields(own.map(({ fields }) => fields).reduce(union)), ...times])
}

/**
 * The hash of the values of the fields that `manager` owns. Times are of whole seconds, so that two writes under the same name within one
 * are told apart by this alone. It is kept in memory only: of a value that is short, a hash tells too much.
 */
export function ownedValuesHash(object: KubeObject, manager: string): string {
  return hashed(ownLeaves(object, manager).map((path) => JSON.stringify(valueAt(object, path)) ?? ''))
}

/** Fields of single values that `manager` owns and in which nobody else has anything: a map that is owned empty may hold what others put there. */
export function ownLeaves(object: KubeObject, manager: string): Path[] {
  const others = fieldOwners(object).filter((entry) => !isOwn(entry, manager))
  return leaves(ownFields(object, manager) ?? {}).filter((path) => !others.some(({ fields }) => touches(fields, path)))
}

function hashed(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest().toString('hex', 0, hashBytes)
}
