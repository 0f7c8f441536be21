import data from './kind-table.json' with { type: 'json' }
import type { FieldType, KindTable } from './table-of.ts'

/** Of the Kubernetes that this Muster builds. A test compares it with what the API server says. */
export const kindTable = data as unknown as KindTable

/** The merge type of an object of a kind; nothing for kinds that are not known, whose lists are replaced whole. */
export function typeOfKind(apiVersion: string, kind: string): number | undefined {
  return kindTable.kinds[`${apiVersion}/${kind}`]
}

export function fieldTypeOf(type: number | undefined, field: string): FieldType | undefined {
  const fields = type === undefined ? undefined : kindTable.types[type]
  return fields && (Object.hasOwn(fields, field) ? fields[field] : fields['*'])
}

/** How a list is merged, and the type of its items. */
export interface ListType {
  readonly keys: readonly string[] | null
  readonly items: number | undefined
}

export function listTypeOf(type: FieldType | undefined): ListType | undefined {
  if (type === undefined || typeof type === 'number') return undefined
  const [keys, items] = type
  return { keys, items: items < 0 ? undefined : items }
}

const clusterScoped = new Set(kindTable.clusterScoped)

/** Whether objects of a kind certainly belong to no namespace: Kubernetes' own, and those of definitions that say so. */
export function isClusterScoped(group: string, kind: string, ofDefinitions: ReadonlySet<string>): boolean {
  const name = group === '' ? kind : `${kind}.${group}`
  return clusterScoped.has(name) || ofDefinitions.has(name)
}
