import path from 'node:path'
import { customResourceDefinition, releaseKind } from '@muster/api'
import { KubeClient, type KubeObject, type Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { startApiServer } from '../../../test/environment/api-server.ts'
import { agentObjects } from './agent.ts'
import { leaveOffline } from './leave.ts'
import { systemNamespace } from './names.ts'

const wait = { signal: new AbortController().signal, deadlineMs: 30_000 }
const admission = 'admissionregistration.k8s.io/v1'
const guarded = { 'muster.dev/guard-of': 'charlie' }
const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'web', namespace: 'default' }
const release: Ref = { apiVersion: 'muster.dev/v1alpha1', kind: 'Release', name: 'shop' }

/** As the write guard: nobody but the agent may write what a release holds. */
const guard: KubeObject[] = [
  {
    apiVersion: admission,
    kind: 'ValidatingAdmissionPolicy',
    metadata: { name: 'muster-guard', labels: guarded },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [{ apiGroups: [''], apiVersions: ['*'], operations: ['UPDATE', 'DELETE'], resources: ['configmaps'] }],
      },
      validations: [{ expression: 'request.userInfo.username == "system:serviceaccount:muster-system:muster-agent"' }],
    },
  },
  {
    apiVersion: admission,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: 'muster-guard', labels: guarded },
    spec: { policyName: 'muster-guard', validationActions: ['Deny'] },
  },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'muster-guard', namespace: systemNamespace, labels: guarded } },
]

let server: Awaited<ReturnType<typeof startApiServer>>
let member: KubeClient

/** An API server of the test's own: what is taken away here has one name in every cluster. */
beforeAll(async () => {
  const state = path.resolve(path.dirname(inject('kubeconfig')), '../..')
  server = await startApiServer(path.join(state, 'bin'))
  const user = { certificate: { pem: server.admin.certificate }, key: { pem: server.admin.privateKey } }
  member = new KubeClient({ server: server.url, ca: { pem: server.ca }, user }, { userAgent: 'leave-test' })
  const options = { cluster: 'charlie', image: 'agent@sha256:1', hubUrl: 'https://gone', hubCa: '', token: 't', trustRoot: '{}' }
  // Nothing runs pods here, or collects garbage: the agent's Deployment would never go.
  for (const object of agentObjects(options).filter(({ kind }) => kind !== 'Deployment'))
    await member.apply(object, { fieldManager: 'leave-test', force: true })
  await vi.waitFor(() => member.list({ apiVersion: release.apiVersion, kind: release.kind }), { timeout: 20_000 })
  await member.create({
    ...config,
    metadata: { name: 'web', namespace: 'default', labels: { 'muster.dev/release': 'shop' } },
    data: {},
  } as unknown as KubeObject)
  const bundle = { repository: 'bundles/shop', version: '1.0.0', digest: `sha256:${'1'.repeat(64)}` }
  await member.create({
    apiVersion: release.apiVersion,
    kind: 'Release',
    metadata: { name: 'shop' },
    spec: { bundle, channelGeneration: 1 },
  } as KubeObject)
  for (const object of guard) await member.apply(object, { fieldManager: 'leave-test', force: true })
  const refused = () => expect(edit('before')).rejects.toMatchObject({ message: expect.stringContaining('muster-guard') })
  await vi.waitFor(refused, { timeout: 30_000, interval: 100 })
}, 120_000)

afterAll(async () => {
  member.close()
  await server.dispose()
})

const edit = (value: string) => member.patch(config, { data: { value } }, { type: 'merge', fieldManager: 'kubectl-edit' })

describe('leaving at a site without its hub', () => {
  it('is refused under another name than the cluster has, with nothing done', async () => {
    await expect(leaveOffline('delta', member, wait)).rejects.toMatchObject({
      code: 'MemberElsewhere',
      message: expect.stringContaining('charlie'),
    })
    await expect(edit('still')).rejects.toThrow()
  })

  it('takes the agent and its guard away, leaves what runs and what says so, and may be repeated', async () => {
    await leaveOffline('charlie', member, wait)
    await leaveOffline('charlie', member, wait)
    for (const { apiVersion, kind, metadata } of guard) {
      const { items } = await member.list({ apiVersion, kind, labelSelector: 'muster.dev/guard-of' })
      expect({ kind, name: metadata.name, left: items.length }).toEqual({ kind, name: metadata.name, left: 0 })
    }
    const rights = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', name: 'muster-agent' }
    expect(await member.find(rights)).toBeUndefined()
    expect(
      await member.find({ apiVersion: 'v1', kind: 'Secret', name: 'muster-agent-bootstrap', namespace: systemNamespace }),
    ).toBeUndefined()
    expect(await member.find(release)).toBeDefined()
    expect(
      await member.find({
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        name: customResourceDefinition(releaseKind).metadata.name,
      }),
    ).toBeDefined()
    await vi.waitFor(() => edit('after'), { timeout: 30_000, interval: 100 })
    expect((await member.get(config))['data']).toEqual({ value: 'after' })
  })
})
