import { createHash } from 'node:crypto'

/**
 * A set of field paths in the form of `metadata.managedFields[].fieldsV1` (sigs.k8s.io/structured-merge-diff, fieldpath):
 * `f:<name>` a field, `k:<json>` the list item with these keys, `v:<json>` the item of a set with this value, `i:<n>` the
 * item at an index. A node without children, or with the child `.`, is itself a member of the set.
 */
export interface Fields {
  readonly [element: string]: Fields
}

/** From the root of an object to a field: elements as in `Fields`. */
export type Path = readonly string[]

const self = '.'

/** Reads fieldsV1. What is no object reads as the empty set: an owner of nothing. */
export function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** True when the node itself, not only something below it, belongs to the set. */
function isMember(node: Fields): boolean {
  return Object.hasOwn(node, self) || Object.keys(node).length === 0
}

/** What a set names directly below its root. */
export function elements(node: Fields): string[] {
  return Object.keys(node).filter((element) => element !== self)
}

/** The child of a node. Own properties only: a field may be called `constructor`. */
function child(node: Fields | undefined, element: string): Fields | undefined {
  return node !== undefined && Object.hasOwn(node, element) ? node[element] : undefined
}

/** All members, in the order of their elements. */
export function members(fields: Fields): Path[] {
  return elements(fields).flatMap((element) => {
    const node = fields[element] ?? {}
    const below = members(node).map((path) => [element, ...path])
    return isMember(node) ? [[element], ...below] : below
  })
}

/** Members that have none below them: each stands for one value. */
export function leaves(fields: Fields): Path[] {
  return elements(fields).flatMap((element) => {
    const below = leaves(fields[element] ?? {}).map((path) => [element, ...path])
    return below.length > 0 ? below : [[element]]
  })
}

/** The set with exactly these members: the inverse of `members`. */
export function fromMembers(paths: Iterable<Path>): Fields {
  type Node = { [element: string]: Node }
  const root: Node = {}
  const marked = new Set<Node>()
  for (const path of paths) {
    let node = root
    for (const element of path) {
      const next = Object.hasOwn(node, element) ? node[element] : undefined
      if (next === undefined) {
        const made: Node = {}
        Object.defineProperty(node, element, { value: made, enumerable: true, configurable: true, writable: true })
        node = made
      } else node = next
    }
    if (path.length > 0) marked.add(node)
  }
  for (const node of marked) if (Object.keys(node).length > 0) node[self] = {}
  return root
}

/** Members of either. */
export function union(a: Fields, b: Fields): Fields {
  return fromMembers([...members(a), ...members(b)])
}

/** True when the set holds this path, or something below it. */
export function touches(fields: Fields, path: Path): boolean {
  let node: Fields | undefined = fields
  for (const element of path) node = child(node, element)
  return node !== undefined
}

/**
 * Members of `a` that are not in `b`. A member of which `b` holds nothing stands for all below it: a whole list item is named once,
 * not once per field.
 */
export function missing(a: Fields, b: Fields): Path[] {
  return elements(a).flatMap((element) => {
    const mine = a[element] ?? {}
    const other = child(b, element)
    if (other === undefined && isMember(mine)) return [[element]]
    const below = missing(mine, other ?? {}).map((path) => [element, ...path])
    return isMember(mine) && !(other !== undefined && isMember(other)) ? [[element], ...below] : below
  })
}

/**
 * The topmost paths of `a` of which `b` holds nothing at all, neither the path nor anything below it. Unlike `missing`, it leaves out
 * a map that one manager owns as a whole (`.`) while the other owns only fields in it, which is how updates and applies differ.
 */
export function outside(a: Fields, b: Fields): Path[] {
  return elements(a).flatMap((element) => {
    const other = child(b, element)
    if (other === undefined) return [[element]]
    return outside(a[element] ?? {}, other).map((path) => [element, ...path])
  })
}

/** The part of a set below a path. */
export function below(fields: Fields, path: Path): Fields {
  let node: Fields | undefined = fields
  for (const element of path) node = child(node, element)
  return node ?? {}
}

/** SHA-256 (hex) over the set with its elements sorted: equal sets have equal hashes, however they were written. */
export function hashFields(fields: Fields): string {
  return createHash('sha256').update(canonical(fields)).digest('hex')
}

function canonical(node: Fields): string {
  const names = elements(node).sort()
  const own = isMember(node) ? '.' : ''
  return `${own}{${names.map((name) => `${JSON.stringify(name)}:${canonical(node[name] ?? {})}`).join(',')}}`
}

/** A path as people read it: `.spec.template.spec.containers[name=app].image`. */
export function formatPath(path: Path): string {
  return path
    .map((element) => {
      const [kind, rest] = [element.slice(0, 2), element.slice(2)]
      if (kind === 'f:') return /^[A-Za-z_$][\w-]*$/.test(rest) ? `.${rest}` : `[${JSON.stringify(rest)}]`
      if (kind === 'k:') return `[${formatKeys(rest)}]`
      if (kind === 'v:') return `[=${rest}]`
      return `[${rest}]`
    })
    .join('')
}

function formatKeys(json: string): string {
  const keys = parse(json)
  if (!isRecord(keys)) return json
  return Object.entries(keys)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(',')
}

/**
 * Where a path leads in an object, as the segments of a JSON pointer (RFC 6901, not yet escaped); undefined when the object has no such
 * field. List items are found by their keys or value, as the path names them.
 */
export function locate(object: unknown, path: Path): string[] | undefined {
  let value = object
  const segments: string[] = []
  for (const element of path) {
    const key = segmentOf(value, element)
    if (key === undefined) return undefined
    segments.push(String(key))
    value = (value as Record<string | number, unknown>)[key]
  }
  return segments
}

/** The value that a path leads to; undefined when the object has no such field. */
export function valueAt(object: unknown, path: Path): unknown {
  return locate(object, path)?.reduce<unknown>((value, segment) => (value as Record<string, unknown>)[segment], object)
}

function segmentOf(value: unknown, element: string): string | number | undefined {
  const rest = element.slice(2)
  switch (element.slice(0, 2)) {
    case 'f:':
      return isRecord(value) && Object.hasOwn(value, rest) ? rest : undefined
    case 'k:': {
      const keys = parse(rest)
      if (!isRecord(keys)) return undefined
      const wanted = Object.entries(keys)
      return indexIn(value, (item) => isRecord(item) && wanted.every(([name, wish]) => same(item[name], wish)))
    }
    case 'v:': {
      const wish = parse(rest)
      return indexIn(value, (item) => same(item, wish))
    }
    case 'i:':
      return Array.isArray(value) && Number(rest) < value.length ? Number(rest) : undefined
    default:
      return undefined
  }
}

/** The keys of a list item that an element names; undefined for the other sorts of elements. */
export function elementKeys(element: string): Record<string, unknown> | undefined {
  const keys = element.startsWith('k:') ? parse(element.slice(2)) : undefined
  return isRecord(keys) ? keys : undefined
}

function indexIn(value: unknown, test: (item: unknown) => boolean): number | undefined {
  const index = Array.isArray(value) ? value.findIndex(test) : -1
  return index < 0 ? undefined : index
}

/** A JSON pointer (RFC 6901) of segments. */
export function pointer(segments: readonly string[]): string {
  return segments.map((segment) => `/${segment.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** Equal as JSON, keys in the same order. */
export function same(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
