import type { Cluster, Placement, ReleaseReport } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { dependencyStates } from './dependencies.ts'

const now = new Date('2030-01-01T00:00:30Z')
const digest = (character: string) => `sha256:${character.repeat(64)}`

const placement = (name: string, clusters: readonly string[], dependsOn?: Placement['spec']['dependsOn']): Placement =>
  ({
    metadata: { name },
    spec: {
      bundle: { repository: `bundles/${name}`, version: '2.0.0', digest: digest('2') },
      clusters: { names: clusters },
      ...(dependsOn && { dependsOn }),
    },
  }) as Placement

const report = (change: Partial<ReleaseReport> = {}): ReleaseReport => ({
  name: 'db',
  version: '2.0.0',
  digest: digest('2'),
  signedBy: [],
  ready: true,
  reason: 'Healthy',
  message: 'All is well.',
  driftCorrected: 0,
  drifted: false,
  ...change,
})

const cluster = (name: string, releases: readonly ReleaseReport[] | undefined, reportedAt = '2030-01-01T00:00:25Z'): Cluster =>
  ({ metadata: { name }, spec: {}, ...(releases && { status: { report: { generation: 4, releases }, reportedAt } }) }) as Cluster

/** Of a channel that does not have it yet. */
const never = -1

const client = placement('client', ['bravo'], [{ release: 'db', cluster: 'alpha' }])

function told(alpha: Cluster | undefined, placements: readonly Placement[] = [client, placement('db', ['alpha'])], since = 4) {
  const clusters = [alpha, cluster('bravo', [])].filter((one) => one !== undefined)
  const view = {
    placements,
    now,
    silentAfterMs: 30_000,
    carriedSince: () => (since < 0 ? undefined : since),
    cluster: (name: string) => clusters.find(({ metadata }) => metadata.name === name),
  }
  return dependencyStates('bravo', view)
}

describe('a release of another cluster on which one depends', () => {
  it('is ready when that cluster reports, lately, the version that is placed there as ready', () => {
    expect(told(cluster('alpha', [report()]))).toEqual([
      {
        cluster: 'alpha',
        release: 'db',
        ready: true,
        reason: 'Ready',
        message: 'Version 2.0.0 is ready.',
        digest: digest('2'),
        observedAt: '2030-01-01T00:00:25Z',
        ageSeconds: 5,
      },
    ])
  })

  it('is not ready while it is on its way, or still another version', () => {
    const waiting = report({ ready: false, reason: 'Progressing', message: '0 of 1 replicas are ready.' })
    expect(told(cluster('alpha', [waiting]))).toMatchObject([
      { ready: false, reason: 'NotReady', message: 'Progressing: 0 of 1 replicas are ready.' },
    ])
    expect(told(cluster('alpha', [report({ digest: digest('1'), version: '1.0.0' })]))).toMatchObject([
      { ready: false, reason: 'NotReady', message: 'alpha has version 1.0.0, and 2.0.0 is wanted.' },
    ])
    const held = { digest: digest('1'), version: '1.0.0', reason: 'orders fail', wanted: '2.0.0' }
    expect(told(cluster('alpha', [report({ digest: digest('1'), version: '1.0.0', reason: 'Held', held })]))).toMatchObject([
      { ready: false, reason: 'NotReady', message: 'alpha holds it at 1.0.0, and 2.0.0 is wanted.' },
    ])
    expect(told(cluster('alpha', []))).toMatchObject([{ ready: false, reason: 'NotReady' }])
  })

  it.each([
    ['its cluster has an older channel than the one that first had them', 5],
    ['the channel of its cluster does not have them yet', never],
  ])('is not ready with new settings while %s', (_title, since) => {
    expect(told(cluster('alpha', [report()]), undefined, since)).toMatchObject([
      { ready: false, reason: 'NotReady', message: 'alpha has not taken up the settings that it has now.' },
    ])
  })

  it('is unknown when its cluster is silent, and since when is said', () => {
    expect(told(cluster('alpha', [report()], '2030-01-01T00:00:00Z'))).toMatchObject([
      { ready: false, reason: 'Unknown', message: 'alpha has not reported since 2030-01-01T00:00:00Z.', ageSeconds: 30 },
    ])
    expect(told(cluster('alpha', undefined))).toMatchObject([{ ready: false, reason: 'Unknown' }])
  })

  it('is said to be nowhere when nothing places it there, or when there is no such cluster', () => {
    expect(told(cluster('alpha', []), [client])).toMatchObject([{ reason: 'NotPlaced', message: 'Nothing places db on alpha.' }])
    expect(told(undefined)).toMatchObject([{ reason: 'UnknownCluster', message: 'The fleet has no cluster alpha.' }])
  })

  it('is refused as a cycle when it depends back, whatever it reports', () => {
    const back = placement('db', ['alpha'], [{ release: 'client', cluster: 'bravo' }])
    expect(told(cluster('alpha', [report()]), [client, back])).toMatchObject([
      { ready: false, reason: 'DependencyCycle', message: 'Each waits for the next: bravo/client → alpha/db → bravo/client.' },
    ])
  })

  it('is told to whom it concerns only', () => {
    const view = {
      placements: [client, placement('db', ['alpha'])],
      now,
      silentAfterMs: 30_000,
      carriedSince: () => 1,
      cluster: (name: string) => cluster(name, []),
    }
    expect(dependencyStates('alpha', view)).toEqual([])
    expect(dependencyStates('charlie', view)).toEqual([])
  })
})
