import { apiVersion, type Release } from '@muster/api'
import type { FleetStatus } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { sharedInstance } from '../environment/instance.ts'

const instance = sharedInstance()

async function status(): Promise<FleetStatus> {
  return JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
}

describe('after "muster up"', () => {
  it('status shows hub, alpha and bravo ready, with a ready node each, and podinfo in both children', async () => {
    const { clusters } = await status()
    expect(clusters.map((cluster) => [cluster.name, cluster.ready])).toEqual([
      ['hub', true],
      ['alpha', true],
      ['bravo', true],
    ])
    for (const cluster of clusters) expect(cluster.nodes.map((node) => node.ready)).toEqual([true])
    for (const name of ['alpha', 'bravo']) {
      const release = clusters.find((cluster) => cluster.name === name)?.releases.find((one) => one.name === 'podinfo')
      expect(release).toMatchObject({ name: 'podinfo', signedBy: 'publisher', ready: true })
      expect(release?.digest).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect(release?.version).toMatch(/^\d+\.\d+\.\d+$/)
    }
  })

  it.each(['alpha', 'bravo'])('podinfo answers through its Service in %s, from the image that the signed bundle names', async (name) => {
    const client = await instance.client(name)
    const answer = (await client.raw('GET', '/api/v1/namespaces/podinfo/services/http:podinfo:9898/proxy/version')) as { version: string }
    const { items: pods } = await client.list<KubeObject & Pod>({
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'podinfo',
      labelSelector: 'app=podinfo',
    })
    const release = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    expect(answer.version).toBe(release.spec.bundle.version)
    expect(pods.length).toBeGreaterThan(0)
    for (const pod of pods) {
      const [, digest] = pod.spec.containers[0]?.image.split('@') ?? []
      expect(digest).toMatch(/^sha256:/)
      expect(pod.status.containerStatuses?.[0]?.imageID).toContain(digest)
    }
  })

  it('an autoscaler without metrics is healthy, and says why', async () => {
    const client = await instance.client('alpha')
    const autoscaler = await client.get<KubeObject & Conditioned>({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      namespace: 'podinfo',
      name: 'podinfo',
    })
    const active = autoscaler.status?.conditions?.find((condition) => condition.type === 'ScalingActive')
    expect(active?.status).toBe('False')
    const release = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: 'podinfo' })
    const ready = release.status?.conditions?.find((condition) => condition.type === 'Ready')
    expect(ready).toMatchObject({ status: 'True', reason: 'Healthy' })
    expect(ready?.message).toMatch(/HorizontalPodAutoscaler.*metrics/i)
  })

  it('a second "muster up" changes nothing', async () => {
    const before = await snapshot()
    await instance.succeed('up')
    expect(await snapshot()).toEqual(before)
  })
})

/** What must not move: identities and generations of everything that "up" makes. */
async function snapshot(): Promise<unknown> {
  const { clusters } = await status()
  const objects = await Promise.all(
    ['hub', 'alpha', 'bravo'].map(async (name) => {
      const client = await instance.client(name)
      const lists = await Promise.all(
        [
          { apiVersion: 'apps/v1', kind: 'Deployment' },
          { apiVersion: 'v1', kind: 'Pod' },
          { apiVersion: 'v1', kind: 'Service' },
        ].map((what) => client.list(what)),
      )
      return lists.flatMap((list) =>
        list.items.map((item) => `${name} ${item.kind} ${item.metadata.name} ${item.metadata.uid} ${item.metadata.generation ?? ''}`),
      )
    }),
  )
  return { generations: clusters.map((cluster) => [cluster.name, cluster.generation]), objects: objects.flat().sort() }
}

interface Pod {
  readonly spec: { readonly containers: readonly { readonly image: string }[] }
  readonly status: { readonly containerStatuses?: readonly { readonly imageID: string }[] }
}

interface Conditioned {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}
