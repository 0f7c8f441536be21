import { fieldTypeOf, listTypeOf, typeOfKind } from './kind-table.ts'
import { type From, fromBundle, type ListNode, type MapNode, type Node, textAt } from './node.ts'
import { pathText, type Step } from './path.ts'
import type { FieldType } from './table-of.ts'

/** At which level a customization was said: later ones win over earlier ones. */
export type Level = 'default' | 'all' | 'environment' | 'group' | 'cluster' | 'site' | 'sealed'

/** What made a field that is not as the bundle has it. */
export interface Origin {
  /** The overlay of a customization, or a parameter to which it (or, at level `default`, the bundle itself) gave the value. */
  readonly by: 'overlay' | 'parameter'
  readonly level: Level
  /** Of the customization; nothing where the bundle's default or a sealed value is meant. */
  readonly name?: string
  readonly parameter?: string
}

/** `overlay more-memory (cluster)`, `parameter host by bravo (cluster)`, `parameter host (default)` */
export function originText({ by, level, name, parameter }: Origin): string {
  if (by === 'overlay') return `overlay ${name ?? ''} (${level})`
  return `parameter ${parameter ?? ''}${name === undefined ? '' : ` by ${name}`} (${level})`
}

/** A field and what made it. */
export interface FieldOrigin {
  /** As {@link parsePath} reads it; items of lists by their merge key where they have one. */
  readonly path: string
  /** Keys and positions that lead to it. */
  readonly keys: readonly (string | number)[]
  readonly origin: Origin
  readonly secret?: true
}

/** Every plain value, empty map and empty list of an object that something else than the bundle made. */
export function originsOf(object: MapNode, origins: ReadonlyMap<From, Origin>): FieldOrigin[] {
  const found: FieldOrigin[] = []
  const walk = (node: Node, type: FieldType | undefined, steps: readonly Step[], keys: readonly (string | number)[]): void => {
    if (node.type === 'map' && node.fields.size > 0) {
      const map = typeof type === 'number' ? type : undefined
      for (const [key, item] of node.fields) walk(item, fieldTypeOf(map, key), [...steps, { key }], [...keys, key])
      return
    }
    if (node.type === 'list' && node.items.length > 0) {
      const list = listTypeOf(type)
      for (const [at, item] of node.items.entries())
        walk(item, list?.items, [...steps, itemStep(node, at, list?.keys ?? [])], [...keys, at])
      return
    }
    if (node.from === fromBundle) return
    const origin = origins.get(node.from)
    if (origin === undefined) return
    found.push({ path: pathText(steps), keys, origin, ...(node.type === 'scalar' && node.secret ? { secret: true } : {}) })
  }
  walk(object, typeOfObject(object), [], [])
  return found
}

export function typeOfObject(object: MapNode): number | undefined {
  return typeOfKind(textAt(object, 'apiVersion') ?? '', textAt(object, 'kind') ?? '')
}

/** By the first merge key that says which item it is; else by position. */
export function itemStep(list: ListNode, at: number, keys: readonly string[]): Step {
  const item = list.items[at]
  for (const where of keys) {
    const field = item?.type === 'map' ? item.fields.get(where) : undefined
    if (field?.type !== 'scalar' || field.value === null) continue
    const same = list.items.filter((other) => {
      const value = other.type === 'map' ? other.fields.get(where) : undefined
      return value?.type === 'scalar' && value.value === field.value
    })
    if (same.length === 1) return { where, is: String(field.value) }
  }
  return { index: at }
}
