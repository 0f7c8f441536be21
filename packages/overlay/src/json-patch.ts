import { OverlayError } from './errors.ts'
import { type From, isRecord, type MapNode, type Node, orEmptied, sameValue, treeOf, withField, withItems } from './node.ts'

/** An operation of a JSON patch (RFC 6902). */
export interface Operation {
  readonly op: 'add' | 'remove' | 'replace' | 'move' | 'copy' | 'test'
  readonly path: readonly string[]
  readonly text: string
  readonly from?: readonly string[]
  readonly value?: unknown
}

const maxOperations = 1000
const withValue = new Set(['add', 'replace', 'test'])
const withFrom = new Set(['move', 'copy'])

/** @throws OverlayError `Malformed` */
export function readJsonPatch(patch: readonly unknown[]): Operation[] {
  if (patch.length > maxOperations) throw malformed(`it has ${patch.length} operations; at most ${maxOperations} are taken`)
  return patch.map((operation, at) => {
    const where = `operation ${at + 1}`
    if (!isRecord(operation)) throw malformed(`${where} is not a map`)
    const { op, path, from } = operation
    if (typeof op !== 'string' || !(withValue.has(op) || withFrom.has(op) || op === 'remove'))
      throw malformed(`${where} has no op of RFC 6902`)
    if (typeof path !== 'string') throw malformed(`${where} has no path`)
    if (withValue.has(op) && !('value' in operation)) throw malformed(`${where} (${op}) has no value`)
    if (withFrom.has(op) && typeof from !== 'string') throw malformed(`${where} (${op}) has no from`)
    return {
      op: op as Operation['op'],
      path: pointer(path, where),
      text: path,
      ...(typeof from === 'string' ? { from: pointer(from, where) } : {}),
      ...('value' in operation ? { value: operation['value'] } : {}),
    }
  })
}

/** RFC 6901. */
function pointer(text: string, where: string): string[] {
  if (text === '') return []
  if (!text.startsWith('/')) throw malformed(`${where} has a path that does not begin with /`)
  return text
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** @throws OverlayError `DoesNotFit` naming the path */
export function applyJsonPatch(object: MapNode, operations: readonly Operation[], from: From): MapNode {
  let root: Node = object
  for (const operation of operations) root = applyOne(root, operation, from)
  if (root.type !== 'map') throw new OverlayError('DoesNotFit', 'The patch leaves no object.')
  return root
}

function applyOne(root: Node, operation: Operation, from: From): Node {
  const { op, path, text } = operation
  switch (op) {
    case 'add':
      return put(root, path, treeOf(operation.value, from), 'add', text, from)
    case 'replace':
      return put(root, path, treeOf(operation.value, from), 'replace', text, from)
    case 'remove':
      return put(root, path, undefined, 'replace', text, from)
    case 'test': {
      const found = find(root, path, text)
      if (sameValue(found, treeOf(operation.value, from))) return root
      throw new OverlayError('DoesNotFit', `The test at ${text} fails: something else is there.`)
    }
    case 'copy':
      return put(root, path, madeBy(find(root, operation.from ?? [], text), from), 'add', text, from)
    case 'move': {
      const source = operation.from ?? []
      if (source.length < path.length && source.every((part, at) => part === path[at]))
        throw new OverlayError('DoesNotFit', `What is to be moved to ${text} cannot be moved into itself.`)
      const moved = find(root, source, text)
      return put(put(root, source, undefined, 'replace', text, from), path, madeBy(moved, from), 'add', text, from)
    }
  }
}

function madeBy(node: Node, from: From): Node {
  if (node.type === 'scalar') return { ...node, from }
  if (node.type === 'list') return { ...node, from, items: node.items.map((item) => madeBy(item, from)) }
  return { ...node, from, fields: new Map([...node.fields].map(([key, item]) => [key, madeBy(item, from)])) }
}

function find(root: Node, path: readonly string[], text: string): Node {
  let node: Node | undefined = root
  for (const part of path) {
    if (node?.type === 'map') node = node.fields.get(part)
    else if (node?.type === 'list') node = node.items[index(part, node.items.length - 1, text)]
    else node = undefined
    if (node === undefined) throw missing(text)
  }
  return node ?? root
}

function put(node: Node, path: readonly string[], value: Node | undefined, how: 'add' | 'replace', text: string, from: From): Node {
  const [part, ...rest] = path
  if (part === undefined) {
    if (value === undefined) throw new OverlayError('DoesNotFit', 'The patch removes the object itself; use a patch with $patch: delete.')
    return value
  }
  if (node.type === 'map') {
    const present = node.fields.get(part)
    if (rest.length > 0) {
      if (present === undefined) throw missing(text)
      return withField(node, part, put(present, rest, value, how, text, from))
    }
    if (how === 'replace' && present === undefined) throw missing(text)
    return orEmptied(node, withField(node, part, value), from)
  }
  if (node.type !== 'list') throw missing(text)
  if (rest.length > 0) {
    const at = index(part, node.items.length - 1, text)
    const present = node.items[at]
    if (present === undefined) throw missing(text)
    return withItems(node, node.items.with(at, put(present, rest, value, how, text, from)))
  }
  if (how === 'add' && value !== undefined) {
    const at = part === '-' ? node.items.length : index(part, node.items.length, text)
    return withItems(node, node.items.toSpliced(at, 0, value))
  }
  const at = index(part, node.items.length - 1, text)
  return orEmptied(node, withItems(node, value === undefined ? node.items.toSpliced(at, 1) : node.items.with(at, value)), from)
}

function index(part: string, most: number, text: string): number {
  const at = /^(?:0|[1-9][0-9]{0,8})$/.test(part) ? Number(part) : -1
  if (at < 0 || at > most) throw missing(text)
  return at
}

function missing(text: string): OverlayError {
  return new OverlayError('DoesNotFit', `There is nothing at ${text}.`)
}

function malformed(why: string): OverlayError {
  return new OverlayError('Malformed', `It is not a JSON patch: ${why}.`)
}
