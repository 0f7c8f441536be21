import { fieldTypeOf, listTypeOf } from './kind-table.ts'
import { type ListNode, type MapNode, type Node, sameValue } from './node.ts'
import { itemStep, typeOfObject } from './origins.ts'
import { isItem, type Step } from './path.ts'
import type { FieldType } from './table-of.ts'

/** A field that is another than before, was added, or is gone. */
export interface Change {
  readonly steps: readonly Step[]
  /** The items of lists on the way, in the order of the steps that are items: what patterns such as `[name=web]` look at. */
  readonly items: readonly (Node | undefined)[]
}

/** What is another between two trees of one object. The order of items that have a merge key does not count. */
export function changesBetween(before: MapNode, after: MapNode): Change[] {
  const found: Change[] = []
  const walk = (a: Node | undefined, b: Node | undefined, type: FieldType | undefined, change: Change): void => {
    if (a === b || (a !== undefined && b !== undefined && sameValue(a, b))) return
    if (a?.type === 'map' && b?.type === 'map') {
      const map = typeof type === 'number' ? type : undefined
      for (const key of new Set([...a.fields.keys(), ...b.fields.keys()])) {
        const steps = [...change.steps, { key }]
        walk(a.fields.get(key), b.fields.get(key), fieldTypeOf(map, key), { steps, items: [...change.items, undefined] })
      }
      return
    }
    if (a?.type === 'list' && b?.type === 'list') {
      const list = listTypeOf(type)
      const pairs = pair(a, b, list?.keys ?? [])
      if (pairs === undefined) found.push(change)
      for (const [one, other, step] of pairs ?? [])
        walk(one, other, list?.items, { steps: [...change.steps, step], items: [...change.items, other ?? one] })
      return
    }
    found.push(change)
  }
  walk(before, after, typeOfObject(before), { steps: [], items: [] })
  return found
}

/** Items that belong together, by merge key or position; nothing where that cannot be said. */
function pair(a: ListNode, b: ListNode, keys: readonly string[]): [Node | undefined, Node | undefined, Step][] | undefined {
  if (keys.length === 0)
    return a.items.length === b.items.length ? a.items.map((item, index) => [item, b.items[index], { index }]) : undefined
  const stepsOf = (list: ListNode) => list.items.map((item, at) => ({ item, step: itemStep(list, at, keys), at }))
  const [mine, theirs] = [stepsOf(a), stepsOf(b)]
  // Items that only their position tells apart: whatever became of the list is one change.
  if ([...mine, ...theirs].some(({ step }) => 'index' in step)) return undefined
  const pairs: [Node | undefined, Node | undefined, Step][] = mine.map(({ item, step }) => {
    const other = theirs.find((one) => isItem(step, one.item, one.at))
    return [item, other?.item, step]
  })
  const added = theirs.filter(({ item }) => !pairs.some(([, other]) => other === item))
  return [...pairs, ...added.map(({ item, step }): [undefined, Node, Step] => [undefined, item, step])]
}

/** Whether a change is at, or below, what a pattern names. */
export function isWithin(change: Change, pattern: readonly Step[]): boolean {
  if (pattern.length > change.steps.length) return false
  return pattern.every((step, at) => {
    const own = change.steps[at]
    if (own === undefined) return false
    if ('key' in step) return 'key' in own && own.key === step.key
    const item = change.items[at]
    return item !== undefined && isItem(step, item, 'index' in own ? own.index : -1)
  })
}
