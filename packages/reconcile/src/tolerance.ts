import type { KubeObject, Ref } from '@muster/kube'
import { below, elementKeys, elements, type Fields, isRecord, type Path, pointer, touches } from './fields.ts'
import { groupKind } from './identity.ts'
import { fieldOwners, ownFields } from './managed-fields.ts'

/** One step of a path as people write it: a field, items of a list by some of their keys, an item of a set, an index, or any item. */
export type PathStep =
  | { readonly field: string }
  | { readonly keys: Readonly<Record<string, string>> }
  | { readonly value: string }
  | { readonly index: number }
  | { readonly any: true }

/** A field of some objects, and all below it, in which a difference from what is signed is meant. */
export interface Tolerance {
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly path: readonly PathStep[]
  /** Who answers for it. */
  readonly owner: string
  /** Milliseconds since 1970; it holds until then. */
  readonly untilMs?: number | undefined
}

const step = /\.?([A-Za-z_$][\w$-]*)|\["([^"]+)"\]|\[([^\]"]+)\]/y

/**
 * Reads a path such as `spec.template.spec.containers[name=app].image`, `metadata.annotations["example.test/note"]`, `spec.x[*]`; what
 * `formatPath` writes reads as what it was.
 * @throws TypeError where it is none
 */
export function parsePath(text: string): PathStep[] {
  const steps: PathStep[] = []
  step.lastIndex = 0
  while (step.lastIndex < text.length) {
    const at = step.lastIndex
    const found = step.exec(text)
    if (found === null) throw new TypeError(`"${text}" is no path of a field: it cannot be read from character ${at + 1}.`)
    const [, field, quoted, item] = found
    steps.push(item === undefined ? { field: field ?? quoted ?? '' } : itemStep(item))
  }
  if (steps.length === 0) throw new TypeError('A path of a field names at least one.')
  return steps
}

function itemStep(text: string): PathStep {
  if (text === '*') return { any: true }
  if (/^\d+$/.test(text)) return { index: Number(text) }
  if (text.startsWith('=')) return { value: text.slice(1) }
  const pairs = text.split(',').map((pair) => pair.split('='))
  if (pairs.some(([name, value]) => !name || value === undefined)) throw new TypeError(`"[${text}]" names no item of a list.`)
  return { keys: Object.fromEntries(pairs.map(([name, ...value]) => [name ?? '', value.join('=')])) }
}

/** Whether a step leads over an element of a set of fields. */
function leadsOver(one: PathStep, element: string): boolean {
  if ('field' in one) return element === `f:${one.field}`
  if ('any' in one) return !element.startsWith('f:')
  if ('index' in one) return element === `i:${one.index}`
  if ('value' in one) return element === `v:${one.value}` || element === `v:${JSON.stringify(one.value)}`
  const keys = elementKeys(element)
  return keys !== undefined && Object.entries(one.keys).every(([name, value]) => String(keys[name]) === value)
}

/** Those of the tolerances that hold for an object now. */
export function tolerancesFor(tolerances: readonly Tolerance[], ref: Ref, nowMs: number): Tolerance[] {
  return tolerances.filter(
    ({ kind, namespace, name, untilMs }) =>
      (kind === undefined || kind === ref.kind || kind === groupKind(ref)) &&
      (namespace === undefined || namespace === ref.namespace) &&
      (name === undefined || name === ref.name) &&
      (untilMs === undefined || nowMs < untilMs),
  )
}

/** Whether a path is what one of the tolerances names, or lies below. */
export function isTolerated(tolerances: readonly Tolerance[], path: Path): boolean {
  return tolerances.some((one) => one.path.length <= path.length && one.path.every((step, i) => leadsOver(step, path[i] ?? '')))
}

/** Whether one of the tolerances names something below a path. */
export function toleratesBelow(tolerances: readonly Tolerance[], path: Path): boolean {
  return tolerances.some(
    (one) => one.path.length > path.length && path.every((element, i) => leadsOver(one.path[i] ?? { any: true }, element)),
  )
}

/** Field manager and subresource by which Kubernetes' own autoscaler writes replicas. */
const autoscaler = { manager: 'kube-controller-manager', subresource: 'scale' } as const
const replicas: Path = ['f:spec', 'f:replicas']
const replicasPath: readonly PathStep[] = [{ field: 'spec' }, { field: 'replicas' }]

/** What an autoscaler has scaled is its own from then on: owning it would mean a fight over it. */
function scaledByAutoscaler(live: KubeObject): Tolerance[] {
  const scaled = fieldOwners(live).some(
    ({ manager, subresource, fields }) =>
      manager === autoscaler.manager && subresource === autoscaler.subresource && touches(fields, replicas),
  )
  return scaled ? [{ path: replicasPath, owner: 'the autoscaler' }] : []
}

/**
 * What is applied of a signed object: without the fields that others took from `manager` or removed, where that is tolerated. Applied
 * without them, they stay as they are; and from then on `manager` does not own them.
 * @returns the object, and the fields that are left out of it, as JSON pointers
 */
export function yieldTolerated(
  desired: KubeObject,
  live: KubeObject,
  tolerances: readonly Tolerance[],
  manager: string,
): { readonly object: KubeObject; readonly yielded: readonly string[] } {
  const own = ownFields(live, manager)
  const all = [...tolerances, ...scaledByAutoscaler(live)]
  // Of what was never ours nothing was taken.
  if (own === undefined || all.length === 0) return { object: desired, yielded: [] }
  const yielded: string[] = []
  const object = without({ value: desired, own, segments: [], paths: all.map(({ path }) => path), yielded }) as KubeObject
  return yielded.length === 0 ? { object: desired, yielded } : { object, yielded }
}

interface Visit {
  readonly value: unknown
  readonly own: Fields
  readonly segments: readonly string[]
  /** What is left of the paths here; one that is at its end stands for all from here on. */
  readonly paths: readonly (readonly PathStep[])[]
  readonly yielded: string[]
}

function without(visit: Visit): unknown {
  const { value, own, segments, paths, yielded } = visit
  // What is owned as one value is ours whole.
  if (paths.length === 0 || elements(own).length === 0) return value
  const children = childrenOf(value, own)
  const kept: [string | number, unknown][] = []
  for (const { key, element, child } of children) {
    const rest = paths.flatMap((path): (readonly PathStep[])[] => {
      const [head, ...tail] = path
      if (head === undefined) return [path]
      return leadsOver(head, element ?? '') || leadsToItem(head, child, key) ? [tail] : []
    })
    const here = [...segments, String(key)]
    const owned = element !== undefined && touches(own, [element])
    if (!owned && rest.some((path) => path.length === 0)) yielded.push(pointer(here))
    else kept.push([key, owned ? without({ value: child, own: below(own, [element]), segments: here, paths: rest, yielded }) : child])
  }
  if (Array.isArray(value)) return kept.map(([, child]) => child)
  return isRecord(value) ? Object.fromEntries(kept) : value
}

/** What is directly below a value, with the element under which it is owned. */
function childrenOf(value: unknown, own: Fields): { key: string | number; element: string | undefined; child: unknown }[] {
  const known = elements(own)
  if (Array.isArray(value)) {
    return value.map((child, key) => ({ key, element: known.find((element) => isItem(element, child)), child }))
  }
  if (!isRecord(value)) return []
  return Object.entries(value).map(([key, child]) => ({ key, element: `f:${key}`, child }))
}

function isItem(element: string, item: unknown): boolean {
  if (element.startsWith('v:')) return element === `v:${JSON.stringify(item)}`
  const keys = elementKeys(element)
  if (keys === undefined || !isRecord(item)) return false
  const named = Object.entries(keys).filter(([name]) => Object.hasOwn(item, name))
  return named.length > 0 && named.every(([name, value]) => item[name] === value)
}

/** Whether a step leads to an item that nobody's books name as ours any more. */
function leadsToItem(one: PathStep, item: unknown, key: string | number): boolean {
  if (typeof key === 'string') return false
  if ('any' in one) return true
  return 'keys' in one && isRecord(item) && Object.entries(one.keys).every(([name, value]) => String(item[name]) === value)
}
