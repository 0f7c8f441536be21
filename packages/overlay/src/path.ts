import { OverlayError } from './errors.ts'
import { emptyMap, type From, isNull, type MapNode, type Node, withField, withItems } from './node.ts'

/** One step of a path to a field: a key, an item by its position, all items, or the items that have a field of a value. */
export type Step =
  | { readonly key: string }
  | { readonly index: number }
  | { readonly all: true }
  | { readonly where: string; readonly is: string }

const token = /\.?([A-Za-z0-9_/$-]+)|\[(?:(\*)|(\d{1,6})|"((?:[^"\\]|\\["\\])*)"|([A-Za-z0-9_-]+)=(?:"((?:[^"\\]|\\["\\])*)"|([^\]"]*)))\]/y
const maxSteps = 64

/** Reads `spec.template.spec.containers[name=web].env[*].value`, `data["app.conf"]`, `rules[0]`. @throws OverlayError `Malformed` */
export function parsePath(text: string): Step[] {
  const steps: Step[] = []
  token.lastIndex = 0
  while (token.lastIndex < text.length) {
    const at = token.lastIndex
    const match = token.exec(text)
    const bare = match?.[1] !== undefined
    // A dot stands between keys, and before a key alone.
    const wrongDot = bare && (text[at] === '.') === (steps.length === 0)
    if (match === null || wrongDot || steps.length >= maxSteps) {
      throw new OverlayError('Malformed', `"${text.slice(0, 200)}" is no path; write it as spec.template.spec.containers[name=web].image.`)
    }
    steps.push(stepOf(match))
  }
  return steps
}

function stepOf([, key, all, index, quoted, where, quotedIs, is]: RegExpExecArray): Step {
  if (key !== undefined) return { key }
  if (all !== undefined) return { all: true }
  if (index !== undefined) return { index: Number(index) }
  if (quoted !== undefined) return { key: unquote(quoted) }
  return { where: where ?? '', is: quotedIs === undefined ? (is ?? '') : unquote(quotedIs) }
}

function unquote(text: string): string {
  return text.replaceAll(/\\(["\\])/g, '$1')
}

/** The text that {@link parsePath} reads back. */
export function pathText(steps: readonly Step[]): string {
  return steps
    .map((step, at) => {
      if ('key' in step) return /^[A-Za-z0-9_-]+$/.test(step.key) ? `${at === 0 ? '' : '.'}${step.key}` : `["${quote(step.key)}"]`
      if ('all' in step) return '[*]'
      if ('index' in step) return `[${step.index}]`
      return `[${step.where}=${/^[A-Za-z0-9_./:-]*$/.test(step.is) ? step.is : `"${quote(step.is)}"`}]`
    })
    .join('')
}

function quote(text: string): string {
  return text.replaceAll(/["\\]/g, '\\$&')
}

/** Whether an item of a list is what a step stands for. */
export function isItem(step: Step, item: Node, at: number): boolean {
  if ('all' in step) return true
  if ('index' in step) return step.index === at
  if (!('where' in step) || item.type !== 'map') return false
  const field = item.fields.get(step.where)
  return field?.type === 'scalar' && field.value !== null && String(field.value) === step.is
}

/**
 * Writes at a path. Maps that are missing on the way are made; items of lists are not.
 * @returns the tree, and how many places were written
 * @throws OverlayError `DoesNotFit` where something else is there than the path says
 */
export function setAt(tree: MapNode, path: readonly Step[], from: From, leaf: Node): { tree: MapNode; written: number } {
  let written = 0
  const write = (node: Node, at: number): Node => {
    const step = path[at]
    if (step === undefined) {
      written += 1
      return leaf
    }
    if ('key' in step) {
      if (node.type !== 'map') throw doesNotFit(path.slice(0, at), 'a map')
      const present = node.fields.get(step.key)
      const next = path[at + 1]
      const there = present === undefined || isNull(present) ? undefined : present
      if (there === undefined && next !== undefined && !('key' in next)) return node
      return withField(node, step.key, write(there ?? emptyMap(from), at + 1))
    }
    if (node.type !== 'list') throw doesNotFit(path.slice(0, at), 'a list')
    return withItems(
      node,
      node.items.map((item, index) => (isItem(step, item, index) ? write(item, at + 1) : item)),
    )
  }
  const result = write(tree, 0) as MapNode
  return { tree: written === 0 ? tree : result, written }
}

function doesNotFit(path: readonly Step[], wanted: string): OverlayError {
  return new OverlayError('DoesNotFit', `${path.length === 0 ? 'The object' : pathText(path)} is not ${wanted}.`)
}
