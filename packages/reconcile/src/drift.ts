import type { KubeObject, Ref } from '@muster/kube'
import { type Addition, additionsByOthers } from './additions.ts'
import { formatPath, missing, type Path, same, touches, valueAt } from './fields.ts'
import { nameOf } from './identity.ts'
import { type FieldOwner, fieldOwners, isOwn, ownershipHash, ownFields, ownLeaves } from './managed-fields.ts'

/** Who holds a field now. */
export interface Holder {
  readonly manager: string
  readonly operation: string
  /** When it last wrote, RFC 3339, as the API server recorded it. */
  readonly time?: string
}

/** One field that was not as applied. */
export interface DriftChange {
  /** As people read it: `.spec.replicas`. */
  readonly path: string
  /** `changed`: ours, taken by another. `removed`: ours, and nobody has it now. `added`: another's, where only the release has a say. */
  readonly what: 'changed' | 'removed' | 'added'
  /** Absent where the API server keeps no trace of who did it. */
  readonly by?: Holder
}

/** How one object differed from what was applied. */
export interface Drift {
  readonly ref: Ref
  readonly type: 'Deleted' | 'Changed'
  readonly changes: readonly DriftChange[]
}

/**
 * The cheap question, asked of every watch event: is the object other than we applied it? Exact but for a write under our own name within the
 * same second (see `ownedValuesHash`), since the API server keeps the books: a write by another manager takes the field from our set, one
 * under our name has a time of its own, and nothing else changes either.
 * @param expected `ownershipHash` of what our last apply returned
 */
export function isDrifted(object: KubeObject, manager: string, expected: string): boolean {
  return ownershipHash(object, manager) !== expected || additionsByOthers(object, manager).length > 0
}

/**
 * What had drifted, told by the object before and after our apply. Undefined when nothing had.
 * @param before undefined where the object was gone
 * @param after what our apply returned: its fields are the ones that we want to own
 * @param additions what was removed again
 */
export function driftBetween(
  ref: Ref,
  before: KubeObject | undefined,
  after: KubeObject,
  additions: readonly Addition[],
  manager: string,
): Drift | undefined {
  if (before === undefined) return { ref, type: 'Deleted', changes: [] }
  const foreign = fieldOwners(before).filter((entry) => !isOwn(entry, manager))
  const lost = missing(ownFields(after, manager) ?? {}, ownFields(before, manager) ?? {})
  const changes = [
    ...lost.map((path) => lostChange(path, foreign)),
    ...overwritten(before, after, manager),
    ...additions.map(({ path, owner }) => ({ path: formatPath(path), what: 'added' as const, by: holder(owner) })),
  ]
  return changes.length === 0 ? undefined : { ref, type: 'Changed', changes }
}

/** What was written under our own name, and so is ours as before: only its value says that it was not us. */
function overwritten(before: KubeObject, after: KubeObject, manager: string): DriftChange[] {
  const own = fieldOwners(before).filter((entry) => isOwn(entry, manager))
  const wanted = ownFields(after, manager) ?? {}
  return ownLeaves(before, manager).flatMap((path) => {
    const owner = own.find((entry) => touches(entry.fields, path))
    if (owner === undefined || !touches(wanted, path) || same(valueAt(before, path), valueAt(after, path))) return []
    return [{ path: formatPath(path), what: 'changed' as const, by: holder(owner) }]
  })
}

function lostChange(path: Path, foreign: readonly FieldOwner[]): DriftChange {
  const owner = foreign.find((entry) => touches(entry.fields, path))
  if (owner === undefined) return { path: formatPath(path), what: 'removed' }
  return { path: formatPath(path), what: 'changed', by: holder(owner) }
}

function holder(owner: FieldOwner): Holder {
  return { manager: owner.manager, operation: owner.operation, ...(owner.time === undefined ? {} : { time: owner.time }) }
}

/** The managers that a drift names, each once. */
export function managersOf(drift: Drift): string[] {
  return [...new Set(drift.changes.flatMap((change) => (change.by === undefined ? [] : [change.by.manager])))]
}

/** The paths that a drift names, each once; of an object that is gone the object itself. */
export function pathsOf(drift: Drift): string[] {
  return drift.type === 'Deleted' ? ['(deleted)'] : [...new Set(drift.changes.map(({ path }) => path))]
}

const maxListed = 8
const maxNote = 1000

/**
 * One sentence for people: what changed, by whom, when. At most 1,000 characters, which an Event's note can hold.
 * @param outcome whether it was corrected, or only seen
 */
export function describeDrift(drift: Drift, outcome: 'corrected' | 'detected' = 'corrected'): string {
  const corrected = outcome === 'corrected'
  if (drift.type === 'Deleted')
    return `${nameOf(drift.ref)} was deleted; it ${corrected ? 'was made again as signed' : 'is left so'}. The API server keeps no trace of who deleted it.`
  const groups = new Map<string, string[]>()
  for (const change of drift.changes) {
    const by =
      change.by === undefined
        ? 'by an unrecorded manager'
        : `by field manager "${change.by.manager}" (${change.by.operation}${change.by.time === undefined ? '' : `, ${change.by.time}`})`
    const title = `${change.what} ${by}`
    groups.set(title, [...(groups.get(title) ?? []), change.path])
  }
  const parts = [...groups].map(([title, paths]) => {
    const more = paths.length - maxListed
    return `${paths.slice(0, maxListed).join(', ')}${more > 0 ? ` and ${more} more` : ''} ${title}`
  })
  const note = `${nameOf(drift.ref)} ${corrected ? 'was brought back to' : 'is left other than'} what is signed: ${parts.join('; ')}.`
  return note.length <= maxNote ? note : `${note.slice(0, maxNote - 1)}…`
}
