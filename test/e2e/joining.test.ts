import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { apiVersion, type Cluster } from '@muster/api'
import type { ClusterStatus, FleetStatus } from '@muster/fleet'
import type { KubeClient, KubeObject, Ref } from '@muster/kube'
import { createKeyPair, createRequest } from '@muster/pki'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sharedInstance } from '../environment/instance.ts'

/** Charlie comes and goes while hub, alpha and bravo run. Its baseline is what is placed on every cluster with the label tier=edge. */
const instance = sharedInstance()
const name = 'edge-baseline'
const baseline: Ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: name, name: 'baseline' }
const agent: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'muster-system', name: 'muster-agent' }
const join = ['join', 'charlie', '--label', 'tier=edge']
let dir: string
let hub: KubeClient
let identity: { readonly url: string; readonly ca: string; readonly cert: string; readonly key: string }
let generation = 0

beforeAll(async () => {
  hub = await instance.client('hub')
  dir = await mkdtemp(path.join(tmpdir(), 'muster-joining-'))
  await writeFile(path.join(dir, 'objects.yaml'), 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: baseline\ndata:\n  tier: edge\n')
  await writeFile(
    path.join(dir, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: ${name}\nversion: 1.0.0\ncomponents:\n  - name: all\n    manifests: [objects.yaml]\n`,
  )
  const [digest] = /sha256:[0-9a-f]{64}/.exec(await instance.succeed('publish', dir)) ?? []
  await hub.apply(
    {
      apiVersion,
      kind: 'Placement',
      metadata: { name },
      spec: {
        bundle: { repository: `bundles/${name}`, version: '1.0.0', digest },
        namespace: name,
        clusters: { matchLabels: { tier: 'edge' } },
      },
    } as KubeObject,
    { fieldManager: 'joining-test', force: true },
  )
})

afterAll(async () => {
  await instance.muster('leave', 'charlie', '--delete')
  await hub.delete({ apiVersion, kind: 'Placement', name })
  await rm(dir, { recursive: true, force: true })
  hub.close()
})

async function status(cluster: string): Promise<ClusterStatus | undefined> {
  const fleet = JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
  return fleet.clusters.find((one) => one.name === cluster)
}

async function secret(client: KubeClient, secretName: string, key: string): Promise<string> {
  const found = await client.get<KubeObject & { data: Record<string, string> }>({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: 'muster-system',
    name: secretName,
  })
  return Buffer.from(found.data[key] ?? '', 'base64').toString('utf8')
}

/** What the hub answers to who shows the identity that charlie had when it joined first. */
async function refusal(): Promise<unknown> {
  const { url, ca, cert, key } = identity
  const csr = await createRequest(createKeyPair().privateKey, 'charlie')
  return new Promise((resolve, reject) => {
    const call = request(new URL('/v1/clusters/charlie/renew', url), { method: 'POST', ca, cert, key, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () => resolve((JSON.parse(text) as { code?: unknown }).code))
    })
    call.on('error', reject)
    call.end(JSON.stringify({ csr }))
  })
}

describe('charlie', () => {
  it('joins the running fleet by one command and has its baseline when that is done', async () => {
    await instance.succeed(...join)
    const charlie = await status('charlie')
    expect(charlie).toMatchObject({ ready: true, releases: [{ name, signedBy: 'publisher', ready: true }] })
    generation = charlie?.generation ?? 0
    const client = await instance.client('charlie')
    expect(await client.get(baseline)).toMatchObject({ data: { tier: 'edge' } })
    for (const other of ['hub', 'alpha', 'bravo'])
      expect((await status(other))?.releases.map((release) => release.name)).not.toContain(name)
    identity = {
      url: await secret(client, 'muster-agent-bootstrap', 'hub-url'),
      ca: await secret(client, 'muster-agent-identity', 'hub-ca.crt'),
      cert: await secret(client, 'muster-agent-identity', 'tls.crt'),
      key: await secret(client, 'muster-agent-identity', 'tls.key'),
    }
    client.close()
  })

  it('is a member already when it is joined again: nothing changes', async () => {
    const before = await hub.get<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: 'charlie' })
    await instance.succeed(...join)
    const after = await hub.get<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: 'charlie' })
    expect([after.metadata.uid, after.spec]).toEqual([before.metadata.uid, before.spec])
  })

  it('does not lend its name to another cluster, nor joins one that is a member by another', async () => {
    const alpha = ['--kubeconfig', path.join(instance.state, 'clusters', 'alpha', 'admin.kubeconfig')]
    const taken = await instance.muster('join', 'charlie', ...alpha)
    expect([taken.code, taken.stderr]).toEqual([1, expect.stringContaining('is a member of a fleet already, as alpha')])
    expect(await status('alpha')).toMatchObject({ ready: true })
  })

  it('leaves: its agent goes, and its write guard, what it installed stays, and its identity is refused', async () => {
    const client = await instance.client('charlie')
    const write = { data: { tier: 'by hand' } }
    await expect(client.patch(baseline, write, { type: 'merge' })).rejects.toMatchObject({
      message: expect.stringMatching(/Only the agent/),
    })
    await instance.succeed('leave', 'charlie')
    expect(await status('charlie')).toBeUndefined()
    const policies = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingAdmissionPolicy' }
    for (const kind of [policies, { ...policies, kind: 'ValidatingAdmissionPolicyBinding' }])
      expect((await client.list({ ...kind, labelSelector: 'muster.dev/guard-of' })).items).toEqual([])
    await client.patch(baseline, write, { type: 'merge' })
    expect(await client.find(agent)).toBeUndefined()
    expect(await client.find(baseline)).toBeDefined()
    expect(await client.find({ apiVersion, kind: 'Release', name })).toBeDefined()
    client.close()
    expect(await refusal()).toBe('UnknownCluster')
  })

  it('joins again under the same name, as a cluster that exists, and what was its identity stays refused', async () => {
    const kubeconfig = path.join(instance.state, 'clusters', 'charlie', 'admin.kubeconfig')
    await instance.succeed(...join, '--context', 'charlie', '--kubeconfig', kubeconfig)
    const charlie = await status('charlie')
    expect(charlie).toMatchObject({ ready: true, releases: [{ name, ready: true }] })
    expect(charlie?.generation).toBeGreaterThanOrEqual(generation)
    expect(await refusal()).toBe('IdentityRevoked')
  })

  it('leaves with all that was placed on it, and is deleted', async () => {
    await instance.succeed('leave', 'charlie', '--prune')
    const client = await instance.client('charlie')
    expect(await client.find(baseline)).toBeUndefined()
    expect(await client.find(agent)).toBeUndefined()
    client.close()
    await instance.succeed('leave', 'charlie', '--delete')
    expect((await instance.muster('kubeconfig', 'charlie')).code).toBe(1)
  })
})
