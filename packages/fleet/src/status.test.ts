import { apiVersion, type Cluster, clusterReasons } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { fleetStatus } from './status.ts'

const reportedAt = new Date('2026-01-01T00:00:00Z')
const after = (seconds: number): Date => new Date(reportedAt.getTime() + seconds * 1000)

function cluster(name: string, reason: string): Cluster {
  return {
    apiVersion,
    kind: 'Cluster',
    metadata: { name },
    spec: {},
    status: {
      conditions: [
        {
          type: 'Ready',
          status: reason === clusterReasons.ready ? 'True' : 'Unknown',
          reason,
          message: 'as the hub found it',
          lastTransitionTime: reportedAt.toISOString(),
        },
      ],
      reportedAt: reportedAt.toISOString(),
      report: {
        cluster: name,
        generation: 3,
        observedAt: reportedAt.toISOString(),
        agentVersion: '1.0.0',
        kubernetesVersion: 'v1.37.2',
        nodes: [],
        releases: [
          {
            name: 'web',
            version: '1.0.0',
            digest: `sha256:${'0'.repeat(64)}`,
            signedBy: ['publisher'],
            ready: true,
            reason: 'Healthy',
            message: '',
            drifted: false,
            driftCorrected: 0,
          },
        ],
      },
    },
  }
}

const only = (one: Cluster, now: Date) => fleetStatus([one], now).clusters[0]

describe('the status of a fleet', () => {
  it('shows a cluster that reports as the hub found it', () => {
    expect(only(cluster('alpha', clusterReasons.ready), after(5))).toMatchObject({ ready: true, releases: [{ ready: true }] })
  })

  it('shows a silent cluster and its releases as not ready, with the age of what is shown', () => {
    expect(only(cluster('alpha', clusterReasons.ready), after(31))).toMatchObject({
      ready: false,
      reason: 'Silent',
      message: 'No report for 31 s: what is shown is from 2026-01-01T00:00:00.000Z.',
      releases: [{ ready: false, version: '1.0.0' }],
    })
  })

  it('never calls a cluster silent and its releases ready, whichever of the two clocks is ahead', () => {
    for (const seconds of [29, 30, 31]) {
      const shown = only(cluster('alpha', clusterReasons.silent), after(seconds))
      expect(shown).toMatchObject({ ready: false, reason: 'Silent', releases: [{ ready: false }] })
    }
  })

  it('shows what a site holds or suspends: at what, since when, in place of what and why', () => {
    const one = cluster('alpha', clusterReasons.ready)
    const since = '2026-01-01T00:00:00Z'
    const held = { digest: `sha256:${'0'.repeat(64)}`, version: '1.0.0', reason: 'orders fail', since, wanted: '2.0.0' }
    const suspended = { by: 'site' as const, reason: 'new disk', since }
    Object.assign(one.status?.report?.releases[0] ?? {}, { reason: 'Held', held })
    expect(only(one, after(5))).toMatchObject({
      ready: true,
      releases: [{ ready: true, reason: 'Held', held, said: `held at 1.0.0 by the site since ${since}, in place of 2.0.0 (orders fail)` }],
    })
    Object.assign(one.status?.report?.releases[0] ?? {}, { held: undefined, suspended })
    expect(only(one, after(5))).toMatchObject({ releases: [{ suspended, said: `suspended by the site since ${since} (new disk)` }] })
  })

  it('lists the hub first', () => {
    const names = ['bravo', 'hub', 'alpha'].map((name) => cluster(name, clusterReasons.ready))
    expect(fleetStatus(names, after(1)).clusters.map((one) => one.name)).toEqual(['hub', 'alpha', 'bravo'])
  })
})
