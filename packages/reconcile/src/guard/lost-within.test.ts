import { compileExpressions } from '@muster/cel'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Fields, missing } from '../fields.ts'
import { isTolerated, type PathStep, parsePath } from '../tolerance.ts'
import { celString, lostWithin } from './lost-within.ts'

const elements = ['f:a', 'f:b', 'k:{"name":"x"}', 'k:{"name":"y","port":1}', 'v:"s"', 'i:0'] as const
const steps: readonly PathStep[] = [
  { field: 'a' },
  { field: 'b' },
  { keys: { name: 'x' } },
  { keys: { port: '1' } },
  { value: 's' },
  { index: 0 },
  { any: true },
]

type Node = { [element: string]: Node }

/** A set of fields, as deep as the paths that are tolerated and deeper. */
const tree = (depth: number): fc.Arbitrary<Node> =>
  fc
    .tuple(fc.boolean(), fc.uniqueArray(fc.constantFrom(...elements), { maxLength: depth > 0 ? 3 : 0 }))
    .chain(([itself, names]) =>
      fc
        .tuple(...names.map(() => tree(depth - 1)))
        .map((children) =>
          Object.fromEntries([...(itself && names.length > 0 ? [['.', {}]] : []), ...names.map((name, at) => [name, children[at] ?? {}])]),
        ),
    )

/** What is left of a set where others took fields, by one throw of dice for each. A node of which nothing is left goes with the last of it. */
function robbed(node: Node, taken: () => boolean): Node {
  const left: Node = {}
  for (const [element, child] of Object.entries(node)) {
    if (element === '.') left[element] = {}
    else if (!taken()) {
      const rest = robbed(child, taken)
      if (Object.keys(child).length === 0 || Object.keys(rest).length > 0) left[element] = rest
    }
  }
  return left
}

const cases = fc
  .tuple(
    tree(3),
    fc.array(fc.boolean(), { minLength: 100, maxLength: 100 }),
    fc.array(fc.array(fc.constantFrom(...steps), { minLength: 1, maxLength: 3 }), { maxLength: 3 }),
  )
  .map(([before, dice, paths]) => {
    let at = 0
    return { before, after: robbed(before, () => dice[at++ % dice.length] === true && at % 2 === 0), paths }
  })

const within = (before: Fields, after: Fields, paths: readonly (readonly PathStep[])[]): boolean =>
  missing(before, after).every((path) =>
    isTolerated(
      paths.map((one) => ({ path: one, owner: 'x' })),
      path,
    ),
  )

async function inCel(before: Fields, after: Fields, paths: readonly (readonly PathStep[])[]): Promise<unknown> {
  const [expression] = await compileExpressions([lostWithin('before', 'after', paths)], {
    variables: { before: 'dyn', after: 'dyn' },
    gives: 'bool',
  })
  for (let tries = 1; ; tries++) {
    try {
      return expression?.evaluate({ before, after })
    } catch (error) {
      // An expression has a quarter of a second, by the clock on the wall: too little where the machine does much else.
      if (tries === 50) throw error
    }
  }
}

describe('what the write guard lets others take', () => {
  it('is never more than what is tolerated, over random sets of fields; and all of it, where no two paths lead over the same item', async () => {
    let [allowed, refused] = [0, 0]
    await fc.assert(
      fc.asyncProperty(cases, async ({ before, after, paths }) => {
        const [said, meant] = [await inCel(before, after, paths), within(before, after, paths)]
        if (said === true) expect(meant).toBe(true)
        if (paths.length < 2) expect(said).toBe(meant)
        if (meant) allowed++
        else refused++
      }),
      { seed: 7, numRuns: 150 },
    )
    expect(Math.min(allowed, refused)).toBeGreaterThan(20)
  }, 60_000)

  it('is what a path names, in lists by their keys, and nothing beside it', async () => {
    const container = (fields: Node): Node => ({
      'f:spec': { 'f:containers': { 'k:{"name":"app"}': { '.': {}, ...fields }, 'k:{"name":"other"}': { 'f:image': {} } } },
    })
    const before = container({ 'f:image': {}, 'f:resources': { 'f:limits': {} } })
    const paths = [parsePath('spec.containers[name=app].resources')]
    expect(await inCel(before, container({ 'f:image': {} }), paths)).toBe(true)
    expect(await inCel(before, container({ 'f:resources': { 'f:limits': {} } }), paths)).toBe(false)
    expect(await inCel(before, before, [])).toBe(true)
  })

  it('is said with texts that stay texts, whatever is in them', async () => {
    const name = `it's a "test" \\ with\nlines`
    expect(await inCel({ [`f:${name}`]: {} }, {}, [[{ field: name }]])).toBe(true)
    expect(celString("a'b")).toBe("'a\\'b'")
  })
})
