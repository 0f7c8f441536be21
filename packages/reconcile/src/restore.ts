import type { KubeObject } from '@muster/kube'
import { type Addition, isClosed } from './additions.ts'
import { below, elementKeys, elements, type Fields, isRecord, locate, type Path, same, touches } from './fields.ts'
import { groupKind } from './identity.ts'
import { type FieldOwner, fieldOwners, ownFields } from './managed-fields.ts'

/**
 * How an object is brought back where an apply is refused for what others put in the way.
 *
 * Server-side apply only adds to a list that is keyed: a Service's port 80 that someone made 7000 is, to it, a new item 7000 and an item
 * 80 that is gone. It would leave both, with one name, and the API server refuses that, as often as it is tried. The same holds for one
 * of several fields that exclude each other: `value` made `valueFrom`, `httpGet` made `exec`. What is foreign has to go in the same write
 * in which what is signed comes back, as neither half need be valid alone. So the whole object is written, once, with the version that
 * was judged as the precondition: the live one, what is signed merged over it, without what others put beside it.
 *
 * A replace by the signed object alone would be simpler and wrong: annotations, allocated addresses and an autoscaler's replicas would go.
 */
export interface Restoration {
  /** To be written in place of the live object. */
  readonly object: KubeObject
  /** What of others is not in it any more. Never empty. */
  readonly dropped: readonly Addition[]
}

/**
 * How far others' fields are dropped. `beside`: in a map or list that lacks something signed, and where only the release has a say.
 * `everywhere`: in all of the object but its metadata and status.
 */
export type Reach = 'beside' | 'everywhere'

/** What is never dropped: autoscalers and people scale by it, and it stands in nobody's way. */
const replicas: Path = ['f:spec', 'f:replicas']

/** A place in the object, with what the books say of it. */
interface Place {
  readonly path: Path
  /** Undefined where we own nothing of it. */
  readonly own: Fields | undefined
  /** Those who own something of it, with their fields below it. */
  readonly others: readonly FieldOwner[]
}

/** How to bring `live` to `desired`; undefined where nothing of others stands beside what is signed. */
export function restoration(live: KubeObject, desired: KubeObject, manager: string, reach: Reach): Restoration | undefined {
  const others = fieldOwners(live).filter((entry) => entry.manager !== manager && entry.subresource === undefined)
  const top: Place = { path: [], own: ownFields(live, manager) ?? {}, others }
  const merge = new Merge(groupKind(desired), reach)
  const { apiVersion: _version, kind: _kind, metadata, status: _status, ...content } = desired
  const object: KubeObject = { ...live, metadata: { ...live.metadata } }
  if (metadata.labels !== undefined) object.metadata.labels = { ...live.metadata.labels, ...metadata.labels }
  if (metadata.annotations !== undefined) object.metadata.annotations = { ...live.metadata.annotations, ...metadata.annotations }
  for (const [name, value] of Object.entries(content)) object[name] = merge.value(step(top, `f:${name}`), value, live[name])
  return merge.dropped.length === 0 ? undefined : { object, dropped: merge.dropped }
}

class Merge {
  readonly dropped: Addition[] = []
  readonly #kind: string
  readonly #reach: Reach

  constructor(kind: string, reach: Reach) {
    this.#kind = kind
    this.#reach = reach
  }

  value(place: Place, desired: unknown, live: unknown): unknown {
    if (isRecord(desired) && isRecord(live) && !isAtomic(place)) return this.#map(place, desired, live)
    if (Array.isArray(desired) && Array.isArray(live) && isKeyed(place)) return this.#list(place, desired, live)
    return desired
  }

  #map(place: Place, desired: Record<string, unknown>, live: Record<string, unknown>): Record<string, unknown> {
    const signed = Object.entries(desired).filter(([, value]) => value !== null)
    const drops = this.#dropsAt(place, () => signed.some(([name]) => !owns(place, `f:${name}`)))
    const kept = Object.entries(live).filter(([name]) => Object.hasOwn(desired, name) || !(drops && this.#drop(place, `f:${name}`)))
    const merged = signed.map(([name, value]) => {
      const before = Object.hasOwn(live, name) ? live[name] : undefined
      return [name, this.value(step(place, `f:${name}`), value, before)] as const
    })
    return Object.fromEntries([...kept, ...merged])
  }

  /** A list of items with keys, or a set: what is signed in its order, then what others have and may keep. */
  #list(place: Place, desired: readonly unknown[], live: readonly unknown[]): unknown[] {
    const known = new Map(elementsOf(place).flatMap((element) => indexed(live, element)))
    const rest = new Set(live.keys())
    const matches = desired.map((item) => {
      const index = [...rest].find((i) => matchesItem(item, live[i], known.get(i), place))
      if (index !== undefined) rest.delete(index)
      return { item, index, element: index === undefined ? undefined : known.get(index) }
    })
    const drops = this.#dropsAt(place, () => matches.some(({ element }) => element === undefined || !owns(place, element)))
    const signed = matches.map(({ item, index, element }) =>
      index === undefined || element === undefined ? item : this.value(step(place, element), item, live[index]),
    )
    const kept = [...rest].filter((i) => !(drops && this.#drop(place, known.get(i))))
    return [...signed, ...kept.map((i) => live[i])]
  }

  #dropsAt({ path }: Place, lacksSigned: () => boolean): boolean {
    return this.#reach === 'everywhere' || isClosed(this.#kind, path) || lacksSigned()
  }

  /** Drops a child that is another's. What nobody owns is a default or allocated, and stays. */
  #drop(place: Place, element: string | undefined): boolean {
    if (element === undefined || owns(place, element)) return false
    const path = [...place.path, element]
    const owner = place.others.find((entry) => touches(entry.fields, [element]))
    if (owner === undefined || same(path, replicas)) return false
    this.dropped.push({ path, owner })
    return true
  }
}

function step({ path, own, others }: Place, element: string): Place {
  return {
    path: [...path, element],
    own: own !== undefined && touches(own, [element]) ? below(own, [element]) : undefined,
    others: others
      .filter((entry) => touches(entry.fields, [element]))
      .map((entry) => ({ ...entry, fields: below(entry.fields, [element]) })),
  }
}

function owns({ own }: Place, element: string): boolean {
  return own !== undefined && touches(own, [element])
}

/** What the books name directly below a place. */
function elementsOf({ own, others }: Place): string[] {
  return [...new Set([...elements(own ?? {}), ...others.flatMap((entry) => elements(entry.fields))])]
}

/** Whether a map is owned as one value, such as a selector: it is taken as signed. */
function isAtomic(place: Place): boolean {
  return (place.own !== undefined || place.others.length > 0) && elementsOf(place).length === 0
}

/** Whether the items of a list are owned one by one. Only the books say so: nothing here knows schemas. */
function isKeyed(place: Place): boolean {
  return elementsOf(place).some((element) => element.startsWith('k:') || element.startsWith('v:'))
}

function indexed(live: readonly unknown[], element: string): [number, string][] {
  const index = locate(live, [element])?.[0]
  return index === undefined ? [] : [[Number(index), element]]
}

/**
 * Whether a signed item is this live one. A key that the signed one leaves to its default (`protocol`) is known from what we own; an
 * item that we lost is not merged, as the live one may be another's under another key.
 */
function matchesItem(item: unknown, live: unknown, element: string | undefined, place: Place): boolean {
  if (element === undefined) return false
  const keys = elementKeys(element)
  if (keys === undefined) return same(item, live)
  if (!isRecord(item) || !isRecord(live)) return false
  const named = Object.entries(keys).filter(([name]) => Object.hasOwn(item, name))
  const complete = named.length === Object.keys(keys).length
  return named.length > 0 && named.every(([name, value]) => same(item[name], value)) && (complete || owns(place, element))
}
