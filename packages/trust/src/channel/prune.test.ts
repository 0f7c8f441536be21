import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ChannelContent } from './channel-content.ts'
import { decidePrune } from './prune.ts'

const content = (names: string[], prune: ChannelContent['prune'] = { maxShare: 0.5 }): ChannelContent => ({
  cluster: 'alpha',
  generation: 3,
  issuedAt: '2030-01-01T00:00:00Z',
  expiresAt: '2030-01-08T00:00:00Z',
  releases: names.map((name) => ({ name, bundle: { repository: 'r', version: '1', digest: `sha256:${'0'.repeat(64)}`, size: 1 } })),
  publishers: [],
  prune,
})
const installed = [
  { release: 'a', objects: 6 },
  { release: 'b', objects: 4 },
]

describe('pruning', () => {
  it('takes releases that the channel no longer has', () => {
    expect(decidePrune({ content: content(['a']), installed })).toEqual({ prune: ['b'], wait: [], share: 0.4 })
  })

  it('takes nothing while the channel has all', () => {
    expect(decidePrune({ content: content(['a', 'b', 'c']), installed })).toEqual({ prune: [], wait: [], share: 0 })
    expect(decidePrune({ content: content([]), installed: [] })).toEqual({ prune: [], wait: [], share: 0 })
  })

  it('of more than the allowed share waits for consent, and says how to give it', () => {
    const decision = decidePrune({ content: content(['b']), installed })
    expect(decision).toMatchObject({ prune: [], wait: ['a'], share: 0.6, reason: 'PruneNeedsConsent' })
    expect(decision.message).toContain('muster.dev/prune-consent=3')
  })

  it('goes ahead with consent for this generation, not with one for another', () => {
    expect(decidePrune({ content: content([], { maxShare: 0.5, consent: 3 }), installed }).prune).toEqual(['a', 'b'])
    expect(decidePrune({ content: content([], { maxShare: 0.5, consent: 2 }), installed }).wait).toEqual(['a', 'b'])
  })

  it('waits while the channel has expired', () => {
    expect(decidePrune({ content: content(['a']), installed, expired: true })).toMatchObject({
      prune: [],
      wait: ['b'],
      reason: 'ChannelExpired',
    })
  })

  it('never touches what the channel has, and never more than the share without consent', () => {
    const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'))
    const releases = fc.uniqueArray(fc.record({ release: fc.constantFrom('a', 'b', 'c', 'd', 'e'), objects: fc.nat(50) }), {
      selector: (one) => one.release,
    })
    fc.assert(
      fc.property(names, releases, fc.double({ min: 0, max: 1, noNaN: true }), (wanted, present, maxShare) => {
        const { prune, wait } = decidePrune({ content: content(wanted, { maxShare }), installed: present })
        expect([...prune, ...wait].filter((name) => new Set<string>(wanted).has(name))).toEqual([])
        const all = present.reduce((sum, one) => sum + one.objects, 0)
        const pruned = present.filter((one) => new Set(prune).has(one.release)).reduce((sum, one) => sum + one.objects, 0)
        expect(pruned <= maxShare * all + 1e-9).toBe(true)
      }),
    )
  })
})
