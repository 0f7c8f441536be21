import type { Cluster, Placement, ReleaseReport } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { placementsConcern } from './placement.ts'
import { placementState as stateOf } from './placement-ready.ts'

const digest = `sha256:${'1'.repeat(64)}`
const placement: Placement = {
  apiVersion: 'muster.dev/v1alpha1',
  kind: 'Placement',
  metadata: { name: 'podinfo' },
  spec: { bundle: { repository: 'bundles/podinfo', version: '1.0.0', digest }, clusters: { all: true } },
}

function cluster(name: string, release?: Partial<ReleaseReport>, ready = 'Ready', observedAt = '2030-01-01T00:00:00Z'): Cluster {
  const releases = release
    ? [
        {
          name: 'podinfo',
          version: '1.0.0',
          digest,
          signedBy: [],
          ready: true,
          reason: 'Healthy',
          message: '',
          driftCorrected: 0,
          drifted: false,
          ...release,
        },
      ]
    : []
  return {
    apiVersion: 'muster.dev/v1alpha1',
    kind: 'Cluster',
    metadata: { name },
    spec: {},
    status: {
      report: { cluster: name, generation: 1, observedAt, agentVersion: '1', kubernetesVersion: '1', nodes: [], releases },
      conditions: [{ type: 'Ready', status: 'True', reason: ready, message: '', lastTransitionTime: '2030-01-01T00:00:00Z' }],
    },
  }
}

const placementState = (one: Placement, clusters: readonly Cluster[], more: readonly Placement[] = [], since: number | undefined = 1) =>
  stateOf(one, { clusters, placements: [one, ...more], carriedSince: () => since })

describe('a placement', () => {
  it('is ready when every cluster that it selects reports its digest as ready', () => {
    expect(placementState(placement, [cluster('alpha', {}), cluster('bravo', {})])).toMatchObject({
      selected: 2,
      ready: 2,
      condition: { status: 'True', reason: 'Ready' },
    })
  })

  it('says which clusters it waits for, and why', () => {
    const { status: _, ...unjoined } = cluster('e')
    const state = placementState(placement, [
      cluster('a', {}),
      cluster('b', { ready: false, reason: 'SignatureMissing' }),
      cluster('c'),
      cluster('d', {}, 'Silent'),
      unjoined,
      cluster('f', { digest: `sha256:${'2'.repeat(64)}` }),
    ])
    expect(state).toMatchObject({ selected: 6, ready: 1, condition: { status: 'False', reason: 'Progressing' } })
    expect(state.condition.message).toBe(
      'Ready in 1 of 6 clusters; waiting for b (SignatureMissing), c (not installed yet), d (silent), e (not joined), f (not installed yet).',
    )
  })

  it('is not ready where the same digest is ready with older settings', () => {
    const behind = 'Ready in 0 of 1 clusters; waiting for a (has not taken this up yet).'
    expect(placementState(placement, [cluster('a', {})], [], 2)).toMatchObject({ ready: 0, condition: { message: behind } })
    const none = stateOf(placement, { clusters: [cluster('a', {})], placements: [placement], carriedSince: () => undefined })
    expect(none).toMatchObject({ ready: 0, condition: { message: behind } })
  })

  it('names the clusters that took it and went back from it, and not those that went back before it was placed as it is', () => {
    const why = { at: '2030-01-01T00:00:00Z', reason: 'Degraded', message: 'No pods.' }
    const rollback = { version: '1.0.0', digest, to: { version: '0.9.0', digest }, ...why }
    const gone = cluster('a', { digest: `sha256:${'2'.repeat(64)}`, ready: false, reason: 'RolledBack', rollback })
    expect(placementState(placement, [gone, cluster('b', {})])).toMatchObject({ ready: 1, rolledBack: ['a'] })
    expect(placementState(placement, [gone], [], 2).rolledBack).toEqual([])
  })

  it('is held where all that it waits for are clusters whose sites hold it at something else, once they know what is placed', () => {
    const old = `sha256:${'2'.repeat(64)}`
    const held = { digest: old, version: '0.9.0', reason: 'orders fail', wanted: '1.0.0' }
    const holding = (name: string, ready?: string) => cluster(name, { digest: old, reason: 'Held', held }, ready)
    expect(placementState(placement, [holding('a'), cluster('b', {})]).condition).toEqual({
      status: 'False',
      reason: 'Held',
      message: 'Ready in 1 of 2 clusters; waiting for a (held at 0.9.0 by its site).',
    })
    expect(placementState(placement, [holding('a'), cluster('b')]).condition.reason).toBe('Progressing')
    expect(placementState(placement, [holding('a')], [], 2).condition.reason).toBe('Progressing')
    expect(placementState(placement, [holding('a', 'Silent')]).condition.reason).toBe('Progressing')
  })

  it('that selects none says so', () => {
    expect(placementState({ ...placement, spec: { ...placement.spec, clusters: { names: ['x'] } } }, [cluster('a')])).toMatchObject({
      selected: 0,
      condition: { status: 'False', reason: 'NoClusters' },
    })
  })

  it('that waits for itself by way of another is refused, with the circle printed, also across clusters', () => {
    const other = (release: string, at: string): Placement => ({
      ...placement,
      metadata: { name: 'db' },
      spec: { ...placement.spec, dependsOn: [{ release, cluster: at }] },
    })
    const one = { ...placement, spec: { ...placement.spec, clusters: { names: ['b'] }, dependsOn: [{ release: 'db', cluster: 'a' }] } }
    expect(placementState(one, [cluster('a'), cluster('b', {})], [other('podinfo', 'b')]).condition).toMatchObject({
      status: 'False',
      reason: 'DependencyCycle',
      message: expect.stringContaining('b/podinfo → a/db → b/podinfo'),
    })
    expect(placementState(one, [cluster('a'), cluster('b', {})], [other('podinfo', 'a')]).condition.reason).toBe('Ready')
  })

  it('is looked at again for a change of releases, labels or silence, not for a heartbeat', () => {
    const concern = placementsConcern()
    const change = (object: Cluster, type = 'modified') => concern({ type, key: 'alpha', object })
    expect(change(cluster('alpha', {}), 'added')).toBe(true)
    expect(change(cluster('alpha', {}, 'Ready', '2030-01-01T00:00:10Z'))).toBe(false)
    expect(change(cluster('alpha', { ready: false }))).toBe(true)
    expect(change(cluster('alpha', { ready: false }, 'Silent'))).toBe(true)
    expect(change({ ...cluster('alpha', { ready: false }, 'Silent'), metadata: { name: 'alpha', labels: { a: 'b' } } })).toBe(true)
    expect(change(cluster('alpha'), 'deleted')).toBe(true)
  })
})
