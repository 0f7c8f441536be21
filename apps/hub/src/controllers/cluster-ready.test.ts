import type { Cluster, ClusterReport } from '@muster/api'
import type { ChannelContent } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import { clusterReady, silentIn } from './cluster-ready.ts'

const now = new Date('2030-01-01T00:01:00Z')
const digest = `sha256:${'1'.repeat(64)}`
const release = {
  name: 'podinfo',
  version: '1.0.0',
  digest,
  signedBy: ['p'],
  ready: true,
  reason: 'Healthy',
  message: '',
  driftCorrected: 0,
  drifted: false,
}
const report: ClusterReport = {
  cluster: 'alpha',
  generation: 3,
  observedAt: now.toISOString(),
  agentVersion: '1',
  kubernetesVersion: '1',
  nodes: [{ name: 'n1', ready: true, version: '1' }],
  releases: [release],
}
const content: ChannelContent = {
  cluster: 'alpha',
  generation: 3,
  issuedAt: now.toISOString(),
  expiresAt: now.toISOString(),
  releases: [{ name: 'podinfo', bundle: { repository: 'bundles/podinfo', version: '1.0.0', digest, size: 1 } }],
  publishers: [],
  prune: { maxShare: 1 },
}
const status = (change: Partial<ClusterReport> = {}, reportedAt = '2030-01-01T00:00:45Z'): Cluster['status'] => ({
  report: { ...report, ...change },
  reportedAt,
})
const find = (given: Cluster['status'] | undefined, change: { content?: ChannelContent; failure?: string } = {}) =>
  clusterReady({ status: given, content: change.content ?? content, failure: change.failure, now, silentAfterMs: 30_000 })

describe('a cluster', () => {
  it('that never reported waits to join', () => {
    expect(find(undefined)).toMatchObject({ status: 'False', reason: 'WaitingToJoin' })
    expect(find({ joinedAt: now.toISOString() })).toMatchObject({ reason: 'WaitingToJoin' })
  })

  it('is ready when nodes, releases and generation are what they should be', () => {
    expect(find(status())).toMatchObject({ status: 'True', reason: 'Ready' })
  })

  it('that has been silent is unknown, whatever it last said', () => {
    expect(find(status({}, '2030-01-01T00:00:30Z'))).toMatchObject({ status: 'Unknown', reason: 'Silent' })
    expect(find(status({ nodes: [] }, '2030-01-01T00:00:00Z'), { failure: 'no registry' })).toMatchObject({
      status: 'Unknown',
      reason: 'Silent',
    })
    expect(silentIn(status(), now, 30_000)).toBe(15_000)
    expect(silentIn(status({}, '2030-01-01T00:00:00Z'), now, 30_000)).toBeUndefined()
    expect(silentIn(undefined, now, 30_000)).toBeUndefined()
  })

  it('whose channel failed says why', () => {
    expect(find(status(), { failure: 'The registry does not answer.' })).toMatchObject({
      reason: 'ChannelFailed',
      message: 'The registry does not answer.',
    })
  })

  it('is not ready for a node, a release, a missing release or an old generation, and each is named', () => {
    const message = (change: Partial<ClusterReport>, wanted = content) => {
      const finding = find(status(change), { content: wanted })
      expect(finding).toMatchObject({ status: 'False', reason: 'NotReady' })
      return finding.message
    }
    expect(message({ nodes: [] })).toBe('it has no node.')
    expect(message({ nodes: [{ name: 'n1', ready: false, version: '1' }] })).toBe('node n1 is not ready.')
    expect(message({ releases: [{ ...release, ready: false, reason: 'SignatureWrongKey' }] })).toBe('release podinfo: SignatureWrongKey.')
    expect(message({ releases: [] })).toBe('release podinfo 1.0.0 is not installed yet.')
    expect(message({ releases: [{ ...release, digest: `sha256:${'2'.repeat(64)}` }] })).toBe('release podinfo 1.0.0 is not installed yet.')
    const channelUnreadable = { since: '2030-01-01T00:00:00Z', reason: 'Unreachable', message: '' }
    expect(message({ generation: 2, channelUnreadable })).toBe(
      'it holds generation 2 and not yet 3 (Unreachable since 2030-01-01T00:00:00Z).',
    )
  })

  it('whose site holds a release at another version is ready where that runs well, and says so', () => {
    const old = `sha256:${'2'.repeat(64)}`
    const held = { digest: old, version: '0.9.0', reason: 'orders fail', wanted: '1.0.0' }
    const holding = { ...release, version: '0.9.0', digest: old, reason: 'Held', held }
    expect(find(status({ releases: [holding] }))).toEqual({
      status: 'True',
      reason: 'Ready',
      message: '1 nodes and 1 releases are ready at generation 3; release podinfo is held at 0.9.0 by the site, and 1.0.0 is wanted.',
    })
    const ill = { ...holding, ready: false, reason: 'Degraded' }
    expect(find(status({ releases: [ill] }))).toMatchObject({ reason: 'NotReady', message: 'release podinfo: Degraded.' })
    const onItsWay = { ...holding, digest: `sha256:${'3'.repeat(64)}` }
    expect(find(status({ releases: [onItsWay] }))).toMatchObject({ message: 'release podinfo 1.0.0 is not installed yet.' })
  })

  it('with very many problems names a few', () => {
    const nodes = Array.from({ length: 500 }, (_, at) => ({ name: `n${at}`, ready: false, version: '1' }))
    expect(find(status({ nodes })).message).toMatch(/n4 is not ready; and 495 more\.$/)
  })
})
