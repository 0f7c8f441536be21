import { randomBytes } from 'node:crypto'
import { apiVersion, clusterKind, customResourceDefinition, type Placement, placementKind, type ReleaseReport } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { placed } from './placement.ts'

const id = randomBytes(4).toString('hex')
const cluster = `placed-${id}`
const name = `shop-${id}`
const digest = `sha256:${'1'.repeat(64)}`
const definitions = [clusterKind, placementKind].map((kind) => customResourceDefinition(kind) as KubeObject)
const defined: KubeObject[] = []
const healthy: ReleaseReport = {
  name,
  version: '1.0.0',
  digest,
  signedBy: [],
  ready: true,
  reason: 'Healthy',
  message: 'All is well.',
  driftCorrected: 0,
  drifted: false,
}
const wait = { signal: new AbortController().signal, deadlineMs: 1_200 }

let hub: KubeClient
let placement: Placement & KubeObject

/** What the agent of the cluster reports, and the hub says of the placement. */
async function said(release: ReleaseReport, status: NonNullable<Placement['status']>): Promise<void> {
  const observedAt = new Date().toISOString()
  const versions = { agentVersion: '1', kubernetesVersion: 'v1' }
  const report = { cluster, generation: 1, observedAt, ...versions, nodes: [], releases: [release] }
  const write = { subresource: 'status', fieldManager: 'placed-test', force: true } as const
  await hub.apply({ apiVersion, kind: 'Cluster', metadata: { name: cluster }, status: { report } } as KubeObject, write)
  await hub.apply({ apiVersion, kind: 'Placement', metadata: { name }, status } as KubeObject, write)
}

const condition = (status: 'True' | 'False', reason: string, message: string) => [
  { type: 'Ready', status, reason, message, lastTransitionTime: '2030-01-01T00:00:00Z' },
]

beforeAll(async () => {
  hub = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'placed-test' })
  for (const definition of definitions) {
    const { metadata, apiVersion: version, kind } = definition
    if ((await hub.find({ apiVersion: version, kind, name: metadata.name })) === undefined) defined.push(definition)
    await hub.apply(definition, { fieldManager: 'placed-test', force: true })
  }
  await vi.waitFor(() => Promise.all(['Cluster', 'Placement'].map((kind) => hub.list({ apiVersion, kind }))), { timeout: 20_000 })
  await hub.create({ apiVersion, kind: 'Cluster', metadata: { name: cluster }, spec: {} } as KubeObject)
  const spec = { bundle: { repository: 'bundles/shop', version: '1.0.0', digest }, clusters: { names: [cluster] } }
  await hub.create({ apiVersion, kind: 'Placement', metadata: { name }, spec } as KubeObject)
  placement = await hub.get<Placement & KubeObject>({ apiVersion, kind: 'Placement', name })
})

afterAll(async () => {
  await hub.delete({ apiVersion, kind: 'Placement', name })
  await hub.delete({ apiVersion, kind: 'Cluster', name: cluster })
  for (const { kind, metadata, ...definition } of defined)
    await hub.delete({ apiVersion: definition.apiVersion, kind, name: metadata.name })
  hub.close()
})

describe('waiting for a placement', () => {
  it('does not end by a cluster that has the digest, before the hub has looked at what was placed last', async () => {
    await said(healthy, { observedGeneration: 0, selected: 1, ready: 1, conditions: condition('True', 'Ready', 'Ready.') })
    await expect(placed(hub, placement, wait)).rejects.toThrow('the hub has not looked at it yet')
  })

  it('does not end before the cluster has the settings that were placed last', async () => {
    const message = 'Ready in 0 of 1 clusters; waiting for alpha (has not taken this up yet).'
    await said(healthy, { observedGeneration: 1, selected: 1, ready: 0, conditions: condition('False', 'Progressing', message) })
    await expect(placed(hub, placement, wait)).rejects.toThrow('alpha (has not taken this up yet)')
  })

  it('ends where cluster and hub say so', async () => {
    await said(healthy, { observedGeneration: 1, selected: 1, ready: 1, conditions: condition('True', 'Ready', 'Ready.') })
    await placed(hub, placement, wait)
  })

  it('ends at once where only a site that holds it is left, and says where, at what and why', async () => {
    const since = '2030-01-01T00:00:00Z'
    const held = { digest: `sha256:${'2'.repeat(64)}`, version: '0.9.0', reason: 'orders fail', since, wanted: '1.0.0' }
    const holding: ReleaseReport = { ...healthy, digest: held.digest, version: '0.9.0', reason: 'Held', held }
    const status = { observedGeneration: 1, selected: 1, ready: 0 }
    await said(holding, { ...status, conditions: condition('False', 'Progressing', 'Ready in 0 of 1 clusters.') })
    await expect(placed(hub, placement, wait)).rejects.toMatchObject({
      code: 'NotReady',
      message: expect.stringContaining(`${cluster} holds it at 0.9.0 since ${since} (orders fail)`),
    })
    await said(holding, { ...status, conditions: condition('False', 'Held', 'Ready in 0 of 1 clusters.') })
    await expect(placed(hub, placement, { ...wait, deadlineMs: 60_000 })).rejects.toMatchObject({
      code: 'Held',
      message: `${name} 1.0.0 is placed, and ready but where its site holds it: ${cluster} holds it at 0.9.0 since ${since} (orders fail). Such a cluster takes it once its site has it follow again: muster release resume ${name} --cluster NAME.`,
    })
  })

  it('fails at once where the cluster went back from what is placed, and says why', async () => {
    const message = 'Version 1.0.0 did not become healthy within 600 s: Deployment shop/web has no pods.'
    const status = { observedGeneration: 1, selected: 1, ready: 0, rolledBack: [cluster] }
    const gone: ReleaseReport = {
      ...healthy,
      digest: `sha256:${'2'.repeat(64)}`,
      version: '0.9.0',
      ready: false,
      reason: 'RolledBack',
      message,
    }
    await said(gone, { ...status, conditions: condition('False', 'Progressing', 'Ready in 0 of 1 clusters.') })
    await expect(placed(hub, placement, { ...wait, deadlineMs: 60_000 })).rejects.toMatchObject({
      code: 'RolledBack',
      message: `${cluster} took ${name} 1.0.0 and went back from it. ${cluster} says: ${message}`,
    })
  })
})
