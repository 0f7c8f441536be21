import { createHash, randomBytes } from 'node:crypto'
import {
  apiVersion,
  type Cluster,
  type ClusterSealing,
  clusterKind,
  customResourceDefinition,
  type Placement,
  placementKind,
} from '@muster/api'
import { isKubeError, KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { createSealingKey, type PrivateSealingKey, publicHalf, seal, unseal } from '@muster/seal'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { placeSealed, rotateSealingKey, sealedPlacement, sealingKeyOf } from './sealing.ts'

const id = randomBytes(4).toString('hex')
const cluster = `seal-${id}`
const release = `shop-${id}`
const lost = `lost-${id}`
const unplaced = `unplaced-${id}`
const { signal } = new AbortController()
const definitions = [clusterKind, placementKind].map((kind) => customResourceDefinition(kind) as KubeObject)
const defined: KubeObject[] = []
const cleanup = [{ kind: 'Cluster', name: cluster }, ...[release, lost, unplaced].map((name) => ({ kind: 'Placement', name }))]
let hub: KubeClient
let first: PrivateSealingKey
let second: PrivateSealingKey

/** What the agent of the cluster would report. */
async function report(sealing: ClusterSealing): Promise<void> {
  const release_ = {
    name: release,
    version: '1',
    digest: `sha256:${'0'.repeat(64)}`,
    signedBy: [],
    ready: true,
    reason: 'Healthy',
    message: '',
  }
  const status = {
    report: {
      cluster,
      generation: 1,
      observedAt: new Date().toISOString(),
      agentVersion: '1',
      kubernetesVersion: 'v1',
      nodes: [],
      releases: [{ ...release_, driftCorrected: 0, drifted: false }],
      sealing,
    },
  }
  const object = { apiVersion, kind: 'Cluster', metadata: { name: cluster }, status }
  await hub.apply(object, { subresource: 'status', fieldManager: 'seal-test', force: true })
}

const sealedOf = async (name: string): Promise<Record<string, string> | undefined> =>
  (await hub.get<Placement & KubeObject>({ apiVersion, kind: 'Placement', name })).spec.sealed?.[cluster]

beforeAll(async () => {
  hub = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'seal-test' })
  for (const definition of definitions) {
    try {
      defined.push(await hub.create(definition))
    } catch (error) {
      if (!isKubeError(error, 'AlreadyExists')) throw error
    }
  }
  await vi.waitFor(() => Promise.all(['Cluster', 'Placement'].map((kind) => hub.list({ apiVersion, kind }))), { timeout: 20_000 })
  ;[first, second] = await Promise.all([createSealingKey(), createSealingKey()])
  const bundle = { repository: 'bundles/none', version: '1.0.0', digest: `sha256:${'0'.repeat(64)}` }
  await hub.create({ apiVersion, kind: 'Cluster', metadata: { name: cluster }, spec: {} } as KubeObject)
  for (const [name, names] of [
    [release, [cluster]],
    [lost, [cluster]],
    [unplaced, []],
  ] as const)
    await hub.create({ apiVersion, kind: 'Placement', metadata: { name }, spec: { bundle, clusters: { names } } } as KubeObject)
})

afterAll(async () => {
  for (const ref of cleanup) await hub.delete({ apiVersion, ...ref })
  for (const { apiVersion: version, kind, metadata } of defined) await hub.delete({ apiVersion: version, kind, name: metadata.name })
  hub.close()
})

describe('a value sealed through the hub', () => {
  it('needs a cluster that has reported its key, and a placement', async () => {
    await expect(sealingKeyOf(hub, `none-${id}`, signal)).rejects.toMatchObject({ code: 'UnknownCluster' })
    await expect(sealingKeyOf(hub, cluster, signal)).rejects.toMatchObject({ code: 'NoSealingKey' })
    await report({ key: publicHalf(first), createdAt: '2030-01-01T00:00:00.000Z' })
    expect(await sealingKeyOf(hub, cluster, signal)).toEqual(publicHalf(first))
    const place = { cluster, release: `none-${id}`, parameter: 'password' }
    await expect(placeSealed(hub, place, 'x', signal)).rejects.toMatchObject({ code: 'UnknownPlacement' })
    await expect(sealedPlacement(hub, place.release, signal)).rejects.toMatchObject({ code: 'UnknownPlacement' })
  })

  it('stands beside the others in its placement, and takes the place of the one before', async () => {
    const put = (parameter: string, value: string) => placeSealed(hub, { cluster, release, parameter }, value, signal)
    await put('password', 'one')
    await put('user', 'two')
    await put('password', 'three')
    expect(await sealedOf(release)).toEqual({ password: 'three', user: 'two' })
    await placeSealed(hub, { cluster, release, parameter: 'user' }, null, signal)
    expect(await sealedOf(release)).toEqual({ password: 'three' })
  })

  it('is taken over when the cluster sealed it anew to its new key; what it cannot read, or does not run, is named, and one that changed meanwhile is left alone', async () => {
    const place = { cluster, release, parameter: 'password' }
    const [old, user, gone, away] = await Promise.all([
      seal('s3cret', place, publicHalf(first)),
      seal('operator', { ...place, parameter: 'user' }, publicHalf(first)),
      seal('lost', { cluster, release: lost, parameter: 'token' }, publicHalf(first)),
      seal('away', { cluster, release: unplaced, parameter: 'token' }, publicHalf(first)),
    ])
    await placeSealed(hub, place, old, signal)
    await placeSealed(hub, { ...place, parameter: 'user' }, user, signal)
    await placeSealed(hub, { cluster, release: lost, parameter: 'token' }, gone, signal)
    await placeSealed(hub, { cluster, release: unplaced, parameter: 'token' }, away, signal)
    const rotating = rotateSealingKey(hub, cluster, new Date(), { signal, deadlineMs: 30_000 })
    // The clock of who asks is behind that of the cluster: it asks for a key that is newer than the present one all the same.
    const asked = await vi.waitFor(async () => {
      const found = await hub.get<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: cluster })
      expect(found.spec.sealing?.newKeyAfter).toBeDefined()
      return found.spec.sealing?.newKeyAfter ?? ''
    })
    expect(asked > '2030-01-01T00:00:00.000Z').toBe(true)
    const anew = await seal('s3cret', place, publicHalf(second))
    const changed = await seal('changed', { ...place, parameter: 'user' }, publicHalf(second))
    await placeSealed(hub, { ...place, parameter: 'user' }, changed, signal)
    const was = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
    await report({
      key: publicHalf(second),
      createdAt: asked,
      retired: [first.kid],
      resealed: [
        { release, parameter: 'password', was: was(old), value: anew },
        { release, parameter: 'user', was: was(user), value: 'stale' },
      ],
    })
    expect(await rotating).toEqual({
      key: second.kid,
      resealed: 1,
      left: [{ cluster, release: lost, parameter: 'token' }],
      unplaced: [{ cluster, release: unplaced, parameter: 'token' }],
    })
    expect(await sealedOf(release)).toEqual({ password: anew, user: changed })
    expect(await unseal(anew, place, [second])).toBe('s3cret')
  })
})
