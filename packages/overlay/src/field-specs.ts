import { OverlayError } from './errors.ts'
import { emptyMap, type From, isNull, type MapNode, type Node, withField, withItems } from './node.ts'
import type { Subject } from './subject.ts'

/** Where a transformer writes: in objects of a kind, at a path that goes through all items of lists (Kustomize's field specs). */
export interface FieldSpec {
  readonly path: readonly string[]
  /** Missing maps on the way, and the field itself, are made. */
  readonly create?: boolean
  readonly group?: string
  readonly version?: string
  readonly kind?: string
}

export function fieldSpec(path: string, where: Omit<FieldSpec, 'path'> = {}): FieldSpec {
  return { path: path.split('/'), ...where }
}

export function appliesTo({ group, version, kind }: FieldSpec, subject: Subject): boolean {
  return (
    (group === undefined || group === subject.group) &&
    (version === undefined || version === subject.version) &&
    (kind === undefined || kind === subject.kind)
  )
}

/** What is written where a path ends; nothing is there where it was made just now. */
export type Leaf = (present: Node | undefined) => Node | undefined

/** Writes at every end of a path. @throws OverlayError `DoesNotFit` where the path leads through a plain value */
export function writeAt(node: Node, path: readonly string[], create: boolean, from: From, leaf: Leaf): Node {
  const [step = '', ...rest] = path
  if (node.type === 'list') {
    return withItems(
      node,
      node.items.map((item) => (isNull(item) ? item : writeAt(item, path, create, from, leaf))),
    )
  }
  if (isNull(node)) return node
  if (node.type !== 'map') throw new OverlayError('DoesNotFit', `There is a plain value on the way to ${path.join('.')}.`)
  const ofList = step.endsWith('[]')
  const key = ofList ? step.slice(0, -2) : step
  const present = node.fields.get(key)
  const there = present !== undefined && !isNull(present) ? present : undefined
  const making = create && !ofList
  if (there === undefined && !making) return node
  if (rest.length === 0) {
    const written = leaf(there)
    return written === there ? node : withField(node, key, written)
  }
  return withField(node, key, writeAt(there ?? emptyMap(from), rest, create, from, leaf))
}

/** Writes entries into a map, such as labels. Each is the customization's from then on, also where it was so before. */
export function entriesWriter(entries: readonly (readonly [string, string])[], from: From, what: string): Leaf {
  return (present) => {
    if (present !== undefined && present.type !== 'map') throw new OverlayError('DoesNotFit', `${what} is not a map.`)
    let map: MapNode = present ?? emptyMap(from)
    for (const [key, value] of entries) map = withField(map, key, { type: 'scalar', from, value })
    return map
  }
}
