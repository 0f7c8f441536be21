import { randomBytes } from 'node:crypto'
import { apiVersion, customResourceDefinition, placementKind } from '@muster/api'
import { isKubeError, KubeClient, type KubeObject, loadKubeconfig } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { placementRights } from './placement-rights.ts'

const id = randomBytes(4).toString('hex')
const name = `rights-${id}`
const labels = { 'muster.dev/rights-test': id }
const policies = placementRights(name, labels)
const dev = { as: { user: `dev-${id}`, groups: ['system:authenticated'] } }
const admin = { as: { user: `admin-${id}`, groups: ['system:authenticated'] } }
let client: KubeClient
let made: KubeObject[]
const definition = customResourceDefinition(placementKind) as KubeObject
let defined = false

function placement(suffix: string, tenant?: string): KubeObject {
  const bundle = { repository: 'bundles/none', version: '1.0.0', digest: `sha256:${'0'.repeat(64)}` }
  const spec = { bundle, clusters: { names: [] }, ...(tenant === undefined ? {} : { tenant }) }
  return { apiVersion, kind: 'Placement', metadata: { name: `${name}-${suffix}`, labels }, spec }
}

function role(suffix: string, user: string, rules: object[]): KubeObject[] {
  const group = 'rbac.authorization.k8s.io'
  const metadata = { name: `${name}-${suffix}` }
  return [
    { apiVersion: `${group}/v1`, kind: 'ClusterRole', metadata, rules },
    {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata,
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: metadata.name },
      subjects: [{ kind: 'User', name: user, apiGroup: group }],
    },
  ]
}

beforeAll(async () => {
  client = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'rights-test' })
  try {
    await client.create(definition)
    defined = true
  } catch (error) {
    if (!isKubeError(error, 'AlreadyExists')) throw error
  }
  await vi.waitFor(() => client.list({ apiVersion, kind: 'Placement' }), { timeout: 20_000 })
  const placements = { apiGroups: ['muster.dev'], resources: ['placements'], verbs: ['get', 'create', 'update', 'patch', 'delete'] }
  made = [
    ...role('dev', dev.as.user, [
      placements,
      { apiGroups: ['muster.dev'], resources: ['tenants'], resourceNames: ['payments'], verbs: ['use'] },
    ]),
    ...role('admin', admin.as.user, [placements, { apiGroups: ['muster.dev'], resources: ['tenants'], verbs: ['use'] }]),
    ...policies,
  ]
  for (const object of made) await client.create(object)
  // A policy holds some moments after it was made.
  await vi.waitFor(() => expect(client.create(placement('none'), { ...dev, dryRun: true })).rejects.toMatchObject({ code: 'Forbidden' }), {
    timeout: 60_000,
    interval: 500,
  })
})

afterAll(async () => {
  for (const suffix of ['own', 'none', 'other']) await client.delete(refOf(placement(suffix)))
  for (const object of made.toReversed()) await client.delete(refOf(object))
  if (defined) await client.delete(refOf(definition))
  client.close()
})

const refOf = ({ apiVersion: version, kind, metadata }: KubeObject) => ({ apiVersion: version, kind, name: metadata.name })
const forbidden = (why: string) => ({ code: 'Forbidden', message: expect.stringContaining(why) as string })

describe('a placement', () => {
  it('of a tenant is written by who may use that tenant, and by nobody else', async () => {
    await client.create(placement('own', 'payments'), dev)
    await expect(client.create(placement('other', 'bank'), dev)).rejects.toMatchObject(
      forbidden('A placement of tenant bank may be written by who has the verb use on that tenant'),
    )
  })

  it('cannot be moved to another tenant, or to none, which would act with all rights', async () => {
    const ref = refOf(placement('own'))
    const move = (tenant: string | null) => client.patch(ref, { spec: { tenant } }, { type: 'merge', ...dev })
    await expect(move('bank')).rejects.toMatchObject(forbidden('of tenant bank'))
    await expect(move(null)).rejects.toMatchObject(forbidden('without a tenant acts with all rights'))
  })

  it('of another tenant cannot be taken over or taken away', async () => {
    await client.create(placement('other', 'bank'), admin)
    await client.create(placement('none'), admin)
    for (const suffix of ['other', 'none']) {
      const ref = refOf(placement(suffix))
      await expect(client.patch(ref, { spec: { tenant: 'payments' } }, { type: 'merge', ...dev })).rejects.toMatchObject(
        forbidden('use on'),
      )
      await expect(client.delete(ref, dev)).rejects.toMatchObject(forbidden('use on'))
    }
  })
})
