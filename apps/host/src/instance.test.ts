import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HostError } from './errors.ts'
import {
  candidates,
  checkClusterName,
  checkInstanceId,
  chooseX,
  kernelNames,
  limits,
  planCluster,
  registryAddress,
  xOf,
} from './instance.ts'

const characters = 'abcdefghijklmnopqrstuvwxyz0123456789'.split('')
const id = fc
  .tuple(
    fc.constantFrom(...characters),
    fc.string({ unit: fc.constantFrom(...characters, '-'), maxLength: 22 }),
    fc.constantFrom(...characters),
  )
  .map((parts) => parts.join(''))

/** Every name and address that an instance with the most clusters and nodes has. */
function everything(instance: { id: string; x: number }): string[] {
  const { alias, registryBridge, table, cgroup, netnsPrefix, lock } = kernelNames(instance)
  const clusters = Array.from({ length: limits.clusters }, (_, index) =>
    planCluster(instance, { name: `c${index}`, index, nodes: limits.nodes, hub: false }),
  )
  return [
    ...[alias, registryBridge, table, cgroup, netnsPrefix, lock, registryAddress({ ...instance, state: '' })],
    ...clusters.flatMap((cluster) => [cluster.bridge, cluster.address, cluster.nodeNet, cluster.podNet, cluster.serviceNet]),
    ...clusters.flatMap((cluster) => cluster.nodes.flatMap((node) => [node.netns, node.link, node.address])),
  ]
}

describe('an instance', () => {
  it('shares no name and no address with another instance of the machine', () => {
    fc.assert(
      fc.property(fc.uniqueArray(id, { minLength: 2, maxLength: 8 }), (ids) => {
        const taken: string[] = []
        const all: string[] = []
        for (const one of ids) {
          const instance = { id: one, x: chooseX(one, taken) }
          taken.push(registryAddress({ ...instance, state: '' }))
          all.push(...everything(instance))
        }
        expect(new Set(all).size).toBe(all.length)
      }),
      { numRuns: 50 },
    )
  })

  it('has no two nodes, bridges or ranges of its own that are the same', () => {
    const all = everything({ id: 'a', x: 127 })
    expect(new Set(all).size).toBe(all.length)
  })

  it('has link names that the kernel takes', () => {
    const { registryBridge } = kernelNames({ id: 'a', x: 127 })
    const cluster = planCluster({ id: 'a', x: 127 }, { name: 'c', index: 15, nodes: 16, hub: false })
    for (const name of [registryBridge, cluster.bridge, ...cluster.nodes.map((node) => node.link)])
      expect(name.length).toBeLessThanOrEqual(15)
  })

  it('keeps away from networks that the machine already has', () => {
    fc.assert(
      fc.property(id, fc.array(fc.integer({ min: 64, max: 255 }), { maxLength: 60 }), (one, octets) => {
        const x = chooseX(
          one,
          octets.map((octet) => `10.${octet}.3.0/24`),
        )
        expect(x).toBeGreaterThanOrEqual(64)
        expect(x).toBeLessThanOrEqual(127)
        for (const range of [x, x + 64, x + 128]) expect(octets).not.toContain(range)
      }),
    )
  })

  it('is refused when no range is left', () => {
    const full = Array.from({ length: 64 }, (_, step) => `10.${64 + step}.0.1`)
    expect(() => chooseX('a', full)).toThrow(expect.objectContaining({ code: 'AddressesTaken' }))
  })

  it('tries every range once', () => {
    expect(new Set(candidates('dev1')).size).toBe(64)
  })

  it('counts addresses outside its ranges as nobody’s', () => {
    expect(['default', '192.168.64.0/24', '10.10.0.0/16', '10.63.0.1', 'fe80::1'].map(xOf)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ])
    expect(['10.64.0.1', '10.128.0.0/20', '10.192.0.10', '10.127.9.9'].map(xOf)).toEqual([64, 64, 64, 127])
  })

  it.each(['', 'A', '-a', 'a-', 'a b', 'a/b', '../a', 'a'.repeat(25)])('is not called %j', (name) => {
    expect(() => checkInstanceId(name)).toThrow(HostError)
  })

  it.each(['', '1a', 'a.b', 'a_', 'a-', 'a/../b', 'a'.repeat(31)])('has no cluster called %j', (name) => {
    expect(() => checkClusterName(name)).toThrow(HostError)
  })
})
