import type { Cluster, Placement } from '@muster/api'
import type { ChannelContent } from '@muster/trust'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CompileOptions, compileChannel, pruneConsentAnnotation } from './compile.ts'

const now = new Date('2030-01-01T00:00:00Z')
const day = 86_400_000
const validityMs = 7 * day
const digest = (character: string) => `sha256:${character.repeat(64)}`

const placement = (name: string, clusters: Placement['spec']['clusters'], bundle = '1'): Placement => ({
  apiVersion: 'muster.dev/v1alpha1',
  kind: 'Placement',
  metadata: { name },
  spec: { bundle: { repository: `bundles/${name}`, version: '1.0.0', digest: digest(bundle) }, clusters },
})

const cluster = (
  change: {
    labels?: Record<string, string>
    annotations?: Record<string, string>
    spec?: Cluster['spec']
    status?: Cluster['status']
  } = {},
): Cluster => {
  const { labels, annotations, spec, status } = change
  return {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'Cluster',
    metadata: { name: 'alpha', ...(labels ? { labels } : {}), ...(annotations ? { annotations } : {}) },
    spec: spec ?? {},
    ...(status ? { status } : {}),
  }
}

const compile = (change: Partial<CompileOptions> = {}) =>
  compileChannel({ cluster: cluster(), placements: [], publishers: [], previous: undefined, now, validityMs, sizeOf: () => 100, ...change })

/** What the registry would give back. */
const published = (change: Partial<CompileOptions> = {}): ChannelContent => compile(change).content

describe('a cluster’s channel', () => {
  it('holds the placements that name it, that match its labels or that go everywhere, in order of names', () => {
    const { content, publish } = compile({
      cluster: cluster({ labels: { site: 'north', tier: 'edge' } }),
      placements: [
        placement('named', { names: ['alpha', 'bravo'] }),
        placement('labelled', { matchLabels: { site: 'north' } }),
        placement('everywhere', { all: true }),
        placement('elsewhere', { names: ['bravo'] }),
        placement('other-label', { matchLabels: { site: 'north', tier: 'core' } }),
        placement('nowhere', {}),
        placement('no-labels', { matchLabels: {} }),
        { ...placement('going', { all: true }), metadata: { name: 'going', deletionTimestamp: now.toISOString() } },
      ],
    })
    expect(publish).toBe('first')
    expect(content.releases.map((release) => release.name)).toEqual(['everywhere', 'labelled', 'named'])
    expect(content).toMatchObject({ cluster: 'alpha', generation: 1, expiresAt: '2030-01-08T00:00:00Z', prune: { maxShare: 0.5 } })
    expect(content.empty).toBeUndefined()
  })

  it('is published anew when a new sealing key is asked for', () => {
    const asked = cluster({ spec: { sealing: { newKeyAfter: '2030-01-01T00:00:00.000Z' } } })
    const { content, publish } = compile({ cluster: asked, previous: published() })
    expect(publish).toBe('changed')
    expect(content.newSealingKeyAfter).toBe('2030-01-01T00:00:00.000Z')
    expect(compile({ cluster: asked, previous: content }).publish).toBeUndefined()
  })

  it('says that it is empty when nothing is placed', () => {
    expect(compile().content).toMatchObject({ empty: true, releases: [] })
  })

  it('is empty for a cluster that is to leave, whatever is placed, and asks for no consent', () => {
    const placements = [placement('everywhere', { all: true }), placement('named', { names: ['alpha'] })]
    const { content } = compile({ placements, cluster: cluster({ spec: { leaving: true, prune: { maxShare: 0.1 } } }) })
    expect(content).toMatchObject({ empty: true, releases: [], prune: { maxShare: 1 } })
  })

  it('is not published again while nothing changed', () => {
    const placements = [placement('a', { all: true })]
    const spec = { prune: { maxShare: 1 / 3 } }
    const previous = published({ placements, cluster: cluster({ spec }) })
    expect(compile({ placements, previous, cluster: cluster({ spec }), now: new Date(now.getTime() + 3 * day) })).toEqual({
      content: previous,
    })
  })

  it('is published again when anything in it changed', () => {
    const previous = published({ placements: [placement('a', { all: true })] })
    const changes: Partial<CompileOptions>[] = [
      { placements: [] },
      { placements: [placement('a', { all: true }, '2')] },
      { placements: [placement('a', { all: true }), placement('b', { all: true })] },
      { placements: [placement('a', { all: true })], publishers: [{ name: 'p', publicKey: 'k' }] },
      { placements: [placement('a', { all: true })], cluster: cluster({ spec: { prune: { maxShare: 1 } } }) },
    ]
    for (const change of changes) expect(compile({ previous, ...change })).toMatchObject({ publish: 'changed', content: { generation: 2 } })
  })

  it('is published again when half of its time is over', () => {
    const previous = published()
    expect(compile({ previous, now: new Date(now.getTime() + 3.49 * day) }).publish).toBeUndefined()
    const renewed = compile({ previous, now: new Date(now.getTime() + 3.51 * day) })
    expect(renewed.publish).toBe('ageing')
    expect(renewed.content.generation).toBe(2)
    expect(Date.parse(renewed.content.expiresAt)).toBeGreaterThan(Date.parse(previous.expiresAt))
  })

  it('goes beyond every generation that the registry, the hub or the cluster knows', () => {
    const report = {
      cluster: 'alpha',
      generation: 9,
      observedAt: now.toISOString(),
      agentVersion: '1',
      kubernetesVersion: '1',
      nodes: [],
      releases: [],
    }
    const status = { channel: { generation: 7, digest: digest('0'), publishedAt: now.toISOString() }, report }
    expect(compile({ cluster: cluster({ status }) })).toMatchObject({ publish: 'first', content: { generation: 10 } })
    const previous = { ...published(), generation: 6 }
    expect(compile({ previous, cluster: cluster({ status }) })).toMatchObject({ publish: 'behind', content: { generation: 10 } })
    expect(compile({ previous: { ...previous, generation: 9 }, cluster: cluster({ status }) }).publish).toBeUndefined()
    fc.assert(
      fc.property(fc.nat(1e6), fc.nat(1e6), fc.nat(1e6), (registry, hub, reported) => {
        const { content } = compile({
          previous: { ...previous, generation: registry },
          cluster: cluster({ status: { channel: { ...status.channel, generation: hub }, report: { ...report, generation: reported } } }),
        })
        expect(content.generation).toBeGreaterThanOrEqual(Math.max(registry, hub, reported))
      }),
    )
  })
})

describe('consent to a large prune', () => {
  const both = [placement('a', { all: true }), placement('b', { all: true })]
  const narrowed = { ...published({ placements: [] }), generation: 5 }
  const consenting = (generation: string) => cluster({ annotations: { [pruneConsentAnnotation]: generation } })

  it('is published for the generation that brings it', () => {
    expect(compile({ previous: narrowed, cluster: consenting('5') })).toMatchObject({
      publish: 'changed',
      content: { generation: 6, prune: { consent: 6 } },
    })
  })

  it('passes on while the releases stay the same, and is not published over and over', () => {
    const previous = published({ previous: narrowed, cluster: consenting('5') })
    expect(compile({ previous, cluster: consenting('5') }).publish).toBeUndefined()
    const later = new Date(now.getTime() + 6 * day)
    expect(compile({ previous, cluster: consenting('5'), now: later }).content).toMatchObject({ generation: 7, prune: { consent: 7 } })
  })

  it('ends when the releases change, and when it is taken back', () => {
    const previous = published({ previous: narrowed, cluster: consenting('5') })
    expect(compile({ previous, cluster: consenting('5'), placements: both }).content.prune.consent).toBeUndefined()
    expect(compile({ previous, cluster: cluster() })).toMatchObject({ publish: 'changed', content: { prune: { maxShare: 0.5 } } })
    expect(compile({ previous, cluster: cluster() }).content.prune.consent).toBeUndefined()
  })

  it('for another generation, or that is no number, counts for nothing', () => {
    for (const value of ['4', '6', '0', '-5', '5.5', '', 'yes', '5 ok'])
      expect(compile({ previous: narrowed, cluster: consenting(value) }).publish).toBeUndefined()
  })
})
