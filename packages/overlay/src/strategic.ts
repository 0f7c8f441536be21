import { OverlayError } from './errors.ts'
import { fieldTypeOf, type ListType, listTypeOf } from './kind-table.ts'
import {
  emptyMap,
  type From,
  isNull,
  isRecord,
  type ListNode,
  type MapNode,
  type Node,
  orEmptied,
  treeOf,
  withField,
  withItems,
} from './node.ts'
import type { FieldType } from './table-of.ts'

/**
 * A strategic merge patch over an object, as Kustomize applies it (kyaml, merge2, with what a patch names first in a list): maps are
 * merged, null takes a field away, lists with merge keys are merged item by item, other lists are replaced. Directives: `$patch`
 * (delete, replace, merge) in maps and lists; and those of Kubernetes that Kustomize does not know and would leave in the object:
 * `$retainKeys`, `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`.
 * @returns nothing where the patch deletes the object
 * @throws OverlayError `DoesNotFit`, `Malformed`
 */
export function strategicMerge(
  object: MapNode,
  patch: Readonly<Record<string, unknown>>,
  from: From,
  type: number | undefined,
): MapNode | undefined {
  return mergeMap(object, patch, type, { from, path: [] })
}

interface Place {
  readonly from: From
  readonly path: readonly string[]
}

function below({ from, path }: Place, key: string): Place {
  return { from, path: [...path, key] }
}

function merge(present: Node | undefined, patch: unknown, type: FieldType | undefined, place: Place): Node | undefined {
  if (patch === null) return undefined
  const there = present === undefined || isNull(present) ? undefined : present
  if (Array.isArray(patch)) {
    if (there !== undefined && there.type !== 'list') throw doesNotFit(place, there, 'a list')
    return mergeList(there, patch, listTypeOf(type), place)
  }
  if (isRecord(patch)) {
    if (there !== undefined && there.type !== 'map') throw doesNotFit(place, there, 'a map')
    return mergeMap(there ?? emptyMap(place.from), patch, typeof type === 'number' ? type : undefined, place)
  }
  if (there !== undefined && there.type !== 'scalar') throw doesNotFit(place, there, 'a plain value')
  return treeOf(patch, place.from)
}

const deleteFromList = '$deleteFromPrimitiveList/'
const elementOrder = '$setElementOrder/'

function mergeMap(present: MapNode, patch: Readonly<Record<string, unknown>>, type: number | undefined, place: Place): MapNode | undefined {
  const directive = directiveOf(patch, place)
  if (directive === 'delete') return undefined
  let merged = directive === 'replace' ? emptyMap(place.from) : present
  const retained = patch['$retainKeys']
  if (retained !== undefined) {
    const kept = texts(retained, '$retainKeys', place)
    for (const key of merged.fields.keys()) if (!kept.includes(key)) merged = withField(merged, key, undefined)
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key === '$patch' || key === '$retainKeys' || key.startsWith(deleteFromList) || key.startsWith(elementOrder)) continue
    merged = withField(merged, key, merge(merged.fields.get(key), value, fieldTypeOf(type, key), below(place, key)))
  }
  for (const [key, value] of Object.entries(patch)) {
    const field = key.slice(key.indexOf('/') + 1)
    const list = merged.fields.get(field)
    if (list?.type !== 'list') continue
    if (key.startsWith(deleteFromList)) merged = withField(merged, field, without(list, value))
    if (key.startsWith(elementOrder)) merged = withField(merged, field, inOrder(list, value, listTypeOf(fieldTypeOf(type, field))))
  }
  return orEmptied(present, merged, place.from)
}

function mergeList(present: ListNode | undefined, patch: readonly unknown[], type: ListType | undefined, place: Place): Node | undefined {
  // An item that is nothing but a directive is for the list itself.
  const isDirective = (item: unknown): item is Record<string, unknown> =>
    isRecord(item) && Object.keys(item).length === 1 && '$patch' in item
  const directives = patch.filter(isDirective).map((item) => directiveOf(item, place))
  const items = patch.filter((item) => !isDirective(item))
  if (directives.includes('delete')) return undefined
  const list: ListNode = present ?? { type: 'list', from: place.from, items: [] }
  const keys = type?.keys ?? null
  if (keys === null) return { type: 'list', from: place.from, items: items.map((item) => treeOf(item, place.from)) }
  const before = directives.includes('replace') ? [] : list.items
  const merged = keys.length === 0 ? mergeSet(before, items, place) : mergeKeyed(before, items, keys, type?.items, place)
  return orEmptied(list, withItems(list, merged), place.from)
}

/** A list of texts that is a set, such as finalizers. */
function mergeSet(before: readonly Node[], patch: readonly unknown[], { from }: Place): Node[] {
  const given = [...new Set(patch)]
  return [...given.map((item) => treeOf(item, from)), ...before.filter((item) => item.type !== 'scalar' || !given.includes(item.value))]
}

/**
 * What the patch names comes first, in its order, whether it was there or not; then the rest as it was. In a list that is merged by
 * several keys only what is new comes first.
 */
function mergeKeyed(
  before: readonly Node[],
  patch: readonly unknown[],
  keys: readonly string[],
  type: number | undefined,
  place: Place,
): Node[] {
  const merged = new Map<Node, Node | undefined>()
  const first: Node[] = []
  const staysInPlace = keysInUse(before, patch, keys) > 1
  for (const item of patch) {
    if (!isRecord(item)) throw new OverlayError('DoesNotFit', `${pathText(place)} is a list of maps; the patch has a plain value in it.`)
    if (keys.every((key) => item[key] === undefined || item[key] === null)) {
      const names = keys.map((key) => `"${key}"`).join(' or ')
      throw new OverlayError('Malformed', `${pathText(place)} is merged by ${names}, which an item of the patch does not have.`)
    }
    const present = before.find((one): one is MapNode => one.type === 'map' && !merged.has(one) && matches(one, item, keys))
    const made = mergeMap(present ?? emptyMap(place.from), item, type, below(place, keys.map((key) => String(item[key] ?? '')).join(',')))
    if (present !== undefined) merged.set(present, made)
    if (made !== undefined && (present === undefined || !staysInPlace)) first.push(made)
  }
  const rest = before.flatMap((item) => {
    if (!merged.has(item)) return [item]
    const made = merged.get(item)
    return staysInPlace && made !== undefined ? [made] : []
  })
  return [...first, ...rest]
}

/** How many of a list's keys any of its items has: a list of ports none of which has a protocol is one by number alone. */
function keysInUse(before: readonly Node[], patch: readonly unknown[], keys: readonly string[]): number {
  const has = (key: string): boolean =>
    before.some((item) => item.type === 'map' && item.fields.has(key)) || patch.some((item) => isRecord(item) && item[key] !== undefined)
  return keys.filter(has).length
}

/** Same in every key that both have, and in one at least: a port without a protocol is the one of that number. */
function matches(present: MapNode, item: Readonly<Record<string, unknown>>, keys: readonly string[]): boolean {
  let common = false
  for (const key of keys) {
    const node = present.fields.get(key)
    const there = node === undefined || node.type !== 'scalar' || node.value === null ? '' : String(node.value)
    const wanted = String(item[key] ?? '')
    if (there === '' || wanted === '') continue
    if (there !== wanted) return false
    common = true
  }
  return common
}

function without(list: ListNode, values: unknown): ListNode {
  const gone: readonly unknown[] = Array.isArray(values) ? values : []
  return withItems(
    list,
    list.items.filter((item) => item.type !== 'scalar' || !gone.includes(item.value)),
  )
}

/** In the order that is said; what it does not name keeps its place after what came before it. */
function inOrder(list: ListNode, order: unknown, type: ListType | undefined): ListNode {
  const wanted: readonly unknown[] = Array.isArray(order) ? order : []
  const keys = type?.keys ?? []
  const rankOf = (item: Node): number =>
    wanted.findIndex((one) =>
      item.type === 'scalar' ? one === item.value : item.type === 'map' && isRecord(one) && keys.length > 0 && matches(item, one, keys),
    )
  let last = -1
  const ranked = list.items.map((item) => {
    const rank = rankOf(item)
    if (rank >= 0) last = rank
    return { item, rank: rank < 0 ? last : rank }
  })
  return withItems(
    list,
    ranked.toSorted((a, b) => a.rank - b.rank).map(({ item }) => item),
  )
}

function directiveOf(patch: Readonly<Record<string, unknown>>, place: Place): 'delete' | 'replace' | 'merge' {
  const directive = patch['$patch'] ?? 'merge'
  if (directive === 'delete' || directive === 'replace' || directive === 'merge') return directive
  throw new OverlayError('Malformed', `${pathText(place)} has $patch: ${String(directive)}; it may be delete, replace or merge.`)
}

function texts(value: unknown, directive: string, place: Place): readonly unknown[] {
  if (Array.isArray(value)) return value
  throw new OverlayError('Malformed', `${pathText(place)} has a ${directive} that is not a list.`)
}

function doesNotFit(place: Place, there: Node, given: string): OverlayError {
  const is = there.type === 'scalar' ? 'a plain value' : `a ${there.type}`
  return new OverlayError('DoesNotFit', `${pathText(place)} is ${is}, and the patch has ${given} there.`)
}

function pathText({ path }: Place): string {
  return path.length === 0 ? 'The object' : path.join('.')
}
