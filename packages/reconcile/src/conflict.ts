import type { KubeError, KubeObject } from '@muster/kube'
import { elementKeys, isRecord, members, type Path, same } from './fields.ts'
import { fieldOwners } from './managed-fields.ts'

/** A field that another manager owns and that an apply which is not forced would set differently. */
export interface FieldConflict {
  /** `''` where the server did not say. */
  readonly manager: string
  /** As the server writes it: `.spec.ports[port=80,protocol="TCP"].targetPort`. */
  readonly field: string
}

/** The one place where the API tells the manager is this sentence (structured-merge-diff, `merge.Conflict`). */
const sentence = /^conflict with "((?:[^"\\]|\\.){0,256})"/

/** What an apply was refused for. */
export function conflictsOf(error: KubeError): FieldConflict[] {
  return (error.details?.causes ?? [])
    .filter((cause) => cause.reason === 'FieldManagerConflict')
    .map((cause) => ({ manager: sentence.exec(cause.message ?? '')?.[1] ?? '', field: cause.field ?? '' }))
}

/**
 * Whether the release set this field in what it applied last: then another's value in it is drift, and the field is the release's.
 * @param live with its managed fields, which say what path the server's text stands for
 */
export function wasSet({ field }: FieldConflict, live: KubeObject, last: KubeObject): boolean {
  return fieldOwners(live).some((owner) => members(owner.fields).some((path) => textOf(path) === field && isNamed(last, path)))
}

/** A path as the server writes it in conflicts (structured-merge-diff, `fieldpath.Path.String`). */
export function textOf(path: Path): string {
  return path
    .map((element) => {
      const rest = element.slice(2)
      const keys = elementKeys(element)
      if (element.startsWith('f:')) return `.${rest}`
      if (element.startsWith('v:')) return `[=${rest}]`
      if (keys === undefined) return `[${rest}]`
      const pairs = Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1))
      return `[${pairs.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`
    })
    .join('')
}

/** Whether an object that was written by hand names a field: an item of a list by those of its keys that it gives. */
function isNamed(object: unknown, path: Path): boolean {
  let value = object
  for (const element of path) {
    const rest = element.slice(2)
    const keys = elementKeys(element)
    if (element.startsWith('f:')) {
      if (!isRecord(value) || !Object.hasOwn(value, rest)) return false
      value = value[rest]
    } else if (!Array.isArray(value)) return false
    else if (keys !== undefined) value = value.find((item) => isItem(item, keys))
    else if (element.startsWith('i:')) value = value[Number(rest)]
    else value = value.find((item) => JSON.stringify(item) === rest)
    if (value === undefined) return false
  }
  return true
}

function isItem(item: unknown, keys: Record<string, unknown>): boolean {
  if (!isRecord(item)) return false
  const named = Object.entries(keys).filter(([name]) => Object.hasOwn(item, name))
  return named.length > 0 && named.every(([name, value]) => same(item[name], value))
}

/** Conflicts for people: each manager once, with its first fields. */
export function describeConflicts(conflicts: readonly FieldConflict[]): string {
  const byManager = Map.groupBy(conflicts, ({ manager }) => manager)
  return [...byManager]
    .map(([manager, fields]) => {
      const shown = fields.slice(0, maxFields).map(({ field }) => field)
      const more = fields.length > maxFields ? ` and ${fields.length - maxFields} more` : ''
      return `${manager === '' ? 'a manager without a name' : `"${manager}"`} owns ${shown.join(', ')}${more}`
    })
    .join('; ')
}

const maxFields = 5
