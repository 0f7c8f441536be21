import type { KubeObject } from '@muster/kube'
import { asFields, type Fields, hashFields, union } from './fields.ts'

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

/** Hexadecimal digits: one is kept of each object of each release, in memory and in the Release. */
const hashLength = 24

/**
 * What stands for "as we applied it": the hash of the fields that `manager` owns. It changes exactly when someone takes a field from
 * the manager or removes one, and not when the object's status, defaults or others' fields change. `''` when it owns nothing.
 */
export function ownershipHash(object: KubeObject, manager: string): string {
  const own = ownFields(object, manager)
  return own === undefined ? '' : hashFields(own).slice(0, hashLength)
}
