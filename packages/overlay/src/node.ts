/**
 * An object as a tree whose every node knows which customization made it. Trees are never changed: what is untouched is shared between
 * the tree before and the tree after, so that it is exact, and cheap to see, what a customization did.
 */
export type Node = ScalarNode | MapNode | ListNode

/** Number of what made a node: 0 is the bundle, others are given out by `customize`. */
export type From = number
export const fromBundle: From = 0

export interface ScalarNode {
  readonly type: 'scalar'
  readonly from: From
  readonly value: string | number | boolean | null
  /** It, or a part of it, is nobody's to see, wherever it is copied to. */
  readonly secret?: true
}

export interface MapNode {
  readonly type: 'map'
  readonly from: From
  readonly fields: ReadonlyMap<string, Node>
}

export interface ListNode {
  readonly type: 'list'
  readonly from: From
  readonly items: readonly Node[]
}

export function treeOf(value: unknown, from: From, secret = false): Node {
  if (Array.isArray(value)) return { type: 'list', from, items: value.map((item) => treeOf(item, from, secret)) }
  if (isRecord(value)) {
    const fields = Object.entries(value).filter(([, item]) => item !== undefined)
    return { type: 'map', from, fields: new Map(fields.map(([key, item]) => [key, treeOf(item, from, secret)])) }
  }
  return { type: 'scalar', from, value: isScalar(value) ? value : null, ...(secret ? { secret } : {}) }
}

export function plain(node: Node): unknown {
  switch (node.type) {
    case 'scalar':
      return node.value
    case 'list':
      return node.items.map(plain)
    case 'map':
      return Object.fromEntries([...node.fields].map(([key, item]) => [key, plain(item)]))
  }
}

/** The map with a field set, or taken away where there is no node. Itself where nothing changes. */
export function withField(map: MapNode, key: string, node: Node | undefined): MapNode {
  if (map.fields.get(key) === node) return map
  const fields = new Map(map.fields)
  if (node === undefined) fields.delete(key)
  else fields.set(key, node)
  return { ...map, fields }
}

/** The list with other items. Itself where they are the same. */
export function withItems(list: ListNode, items: readonly Node[]): ListNode {
  return items.length === list.items.length && items.every((item, at) => item === list.items[at]) ? list : { ...list, items }
}

/** A map or list from which the last was taken is made by who took it: that it is empty is not the bundle's. */
export function orEmptied<T extends MapNode | ListNode>(before: T | undefined, after: T, from: From): T {
  const empty = after.type === 'map' ? after.fields.size === 0 : after.items.length === 0
  return empty && after !== before ? { ...after, from } : after
}

export function textAt(node: Node | undefined, ...keys: readonly string[]): string | undefined {
  const found = nodeAt(node, ...keys)
  return found?.type === 'scalar' && typeof found.value === 'string' ? found.value : undefined
}

export function nodeAt(node: Node | undefined, ...keys: readonly string[]): Node | undefined {
  let found = node
  for (const key of keys) found = found?.type === 'map' ? found.fields.get(key) : undefined
  return found
}

export function emptyMap(from: From): MapNode {
  return { type: 'map', from, fields: new Map() }
}

export function isNull(node: Node): boolean {
  return node.type === 'scalar' && node.value === null
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isScalar(value: unknown): value is ScalarNode['value'] {
  return value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** Whether two trees say the same, whoever made them. */
export function sameValue(a: Node, b: Node): boolean {
  if (a === b) return true
  if (a.type === 'scalar') return b.type === 'scalar' && a.value === b.value
  if (a.type === 'list')
    return b.type === 'list' && a.items.length === b.items.length && a.items.every((item, at) => sameNode(item, b.items[at]))
  return b.type === 'map' && a.fields.size === b.fields.size && [...a.fields].every(([key, item]) => sameNode(item, b.fields.get(key)))
}

function sameNode(a: Node, b: Node | undefined): boolean {
  return b !== undefined && sameValue(a, b)
}
