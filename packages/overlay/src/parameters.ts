import type { BundleParameter } from '@muster/bundle'
import { OverlayError } from './errors.ts'
import { type Item, withTree } from './item.ts'
import { type From, type Node, type ScalarNode, treeOf } from './node.ts'
import { naming } from './patches.ts'
import { parsePath, type Step, setAt } from './path.ts'
import { type Surroundings, selectBy, targetText } from './subject.ts'

/** A value of a parameter, and what gave it. */
export interface GivenValue {
  readonly value: unknown
  readonly from: From
  /** Nobody's to see. */
  readonly secret: boolean
}

/** Puts a parameter's value where the bundle says. @throws OverlayError */
export function applyParameter(items: readonly Item[], parameter: BundleParameter, given: GivenValue, surroundings: Surroundings): Item[] {
  return parameter.set.reduce<Item[]>(
    (before, { target, path, template }) => {
      const select = selectBy(target, surroundings)
      const steps = parsePath(path)
      let written = 0
      const after = before.map((item) => {
        if (!select(item.tree, item.subject)) return item
        const leaf = leafOf(given, template, isSecretData(item, steps))
        const result = naming(item, () => setAt(item.tree, steps, given.from, leaf))
        written += result.written
        return withTree(item, result.tree, surroundings)
      })
      if (written === 0)
        throw new OverlayError('MatchesNothing', `No object of the bundle that matches the target (${targetText(target)}) has ${path}.`)
      return after
    },
    [...items],
  )
}

function leafOf({ value, from, secret }: GivenValue, template: string | undefined, encoded: boolean): Node {
  const text = template === undefined ? value : template.replaceAll('$(value)', () => asText(value))
  return treeOf(encoded ? Buffer.from(asText(text), 'utf8').toString('base64') : text, from, secret) as ScalarNode
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** What is under `data` of a Secret is Base64. */
function isSecretData({ subject }: Item, [first, second]: readonly Step[]): boolean {
  return (
    subject.kind === 'Secret' &&
    subject.group === '' &&
    first !== undefined &&
    'key' in first &&
    first.key === 'data' &&
    second !== undefined
  )
}
