import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cycleFrom, cycleOf, dependencyCycle } from './dependencies.ts'
import type { Placement } from './placement.ts'
import type { Dependency } from './release-settings.ts'

const cluster = (name: string) => ({ metadata: { name }, spec: {} })
const placement = (name: string, clusters: readonly string[], dependsOn: readonly Dependency[]) => ({
  metadata: { name },
  spec: { clusters: { names: [...clusters] }, dependsOn: [...dependsOn] } as unknown as Placement['spec'],
})

function fleet(...placements: readonly ReturnType<typeof placement>[]) {
  const clusters = ['alpha', 'bravo'].map(cluster)
  const view = {
    placement: (name: string) => placements.find(({ metadata }) => metadata.name === name),
    cluster: (name: string) => clusters.find(({ metadata }) => metadata.name === name),
  }
  const first = placements[0]
  return first && cycleOf(first, clusters, view)
}

describe('a cycle of dependencies', () => {
  it('is found in one cluster, and printed', () => {
    expect(fleet(placement('a', ['alpha'], [{ release: 'b' }]), placement('b', ['alpha'], [{ release: 'a' }]))).toBe(
      'alpha/a → alpha/b → alpha/a',
    )
    expect(fleet(placement('a', ['alpha'], [{ release: 'a' }]))).toBe('alpha/a → alpha/a')
  })

  it('is found across clusters', () => {
    expect(
      fleet(
        placement('client', ['bravo'], [{ release: 'db', cluster: 'alpha' }]),
        placement('db', ['alpha'], [{ release: 'client', cluster: 'bravo' }]),
      ),
    ).toBe('bravo/client → alpha/db → bravo/client')
  })

  it('is none where the same names are in other clusters', () => {
    expect(fleet(placement('a', ['alpha'], [{ release: 'b' }]), placement('b', ['bravo'], [{ release: 'a' }]))).toBeUndefined()
    expect(
      fleet(placement('a', ['bravo'], [{ release: 'a', cluster: 'alpha' }]), placement('b', ['alpha', 'bravo'], [{ release: 'a' }])),
    ).toBeUndefined()
  })

  it('is found where a release only waits for it', () => {
    const cycle = [placement('b', ['alpha'], [{ release: 'c' }]), placement('c', ['alpha'], [{ release: 'b' }])]
    expect(fleet(placement('a', ['alpha'], [{ release: 'b' }]), ...cycle)).toBe('alpha/b → alpha/c → alpha/b')
  })

  it('is always one, is found whenever there is one, and costs no stack', () => {
    const graph = fc.dictionary(fc.constantFrom(...'abcdefgh'), fc.array(fc.constantFrom(...'abcdefgh'), { maxLength: 3 }))
    fc.assert(
      fc.property(graph, (edges) => {
        const of = (name: string) => edges[name] ?? []
        const found = dependencyCycle('a', of)
        if (found === undefined) {
          // Without a cycle, what can be reached can be put in order.
          const order: string[] = []
          const visit = (name: string): void => {
            for (const next of of(name)) if (!order.includes(next)) visit(next)
            if (!order.includes(name)) order.push(name)
          }
          visit('a')
          for (const name of order) for (const next of of(name)) expect(order.indexOf(next)).toBeLessThan(order.indexOf(name))
          return
        }
        expect(found.length).toBeGreaterThan(1)
        expect(found.at(0)).toBe(found.at(-1))
        for (const [at, name] of found.slice(0, -1).entries()) expect(of(name)).toContain(found[at + 1])
      }),
    )
    const long = 100_000
    expect(dependencyCycle('0', (name) => (Number(name) < long ? [String(Number(name) + 1)] : []))).toBeUndefined()
  })

  it('is looked for only where clusters and placements are there', () => {
    expect(cycleFrom({ cluster: 'nowhere', release: 'x' }, { placement: () => undefined, cluster: () => undefined })).toBeUndefined()
  })
})
