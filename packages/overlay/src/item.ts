import type { MapNode } from './node.ts'
import { type Subject, type Surroundings, subjectOf } from './subject.ts'

/** An object on its way through the customizations. */
export interface Item {
  /** Its number among the bundle's objects: it stays the same whatever it is called. */
  readonly number: number
  readonly tree: MapNode
  readonly subject: Subject
}

export function itemOf(number: number, tree: MapNode, surroundings: Surroundings): Item {
  return { number, tree, subject: subjectOf(tree, surroundings) }
}

/** The item with another tree; itself where that is the same. */
export function withTree(item: Item, tree: MapNode, surroundings: Surroundings): Item {
  return tree === item.tree ? item : itemOf(item.number, tree, surroundings)
}
