import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Applied, applyObject, describeDrift, fieldManager, isDrifted, type Plan, refOf } from './index.ts'
import { planned, TestInstaller } from './testing/installer.ts'

let installer: TestInstaller
let client: KubeClient
let id: string
let release: string

beforeAll(async () => {
  installer = await TestInstaller.connect(inject('kubeconfig'))
  client = installer.client
  id = installer.id
  release = `shop-${id}`
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release })
  client.close()
})

const deployment: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', annotations: { 'example.test/team': 'shop' } },
  spec: {
    // No pod is ever made of it.
    paused: true,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        securityContext: {},
        containers: [{ name: 'web', image: 'registry.example/web:1.0', resources: { requests: { cpu: '10m' } } }],
      },
    },
  },
}

const bundle: readonly KubeObject[] = [
  deployment,
  { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web' }, data: { greeting: 'hello' } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'web' },
    rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get'] }],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: 'web' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'web' },
  },
]

describe('a release that is applied', () => {
  let plan: Plan
  let applied: ReadonlyMap<string, Applied>

  beforeAll(async () => {
    const result = await installer.install(bundle, release)
    expect(result.failures).toEqual([])
    plan = result.plan
    applied = result.applied
  })

  const ownership = (object: KubeObject): string => {
    const found = [...applied.values()].find((one) => one.object.kind === object.kind && one.object.metadata.name === object.metadata.name)
    if (found === undefined) throw new Error('not applied')
    return (corrections.get(found.object.metadata.uid ?? '') ?? found).ownership
  }
  const corrections = new Map<string, Applied>()
  const correct = async (object: KubeObject): Promise<Applied> => {
    const result = await applyObject(client, object, { release, accepted: true })
    corrections.set(result.object.metadata.uid ?? '', result)
    return result
  }

  it('has its namespace made, its objects labelled, and nothing else changed', async () => {
    expect(plan.objects.map((item) => item.object.kind)).toEqual(['Namespace', 'Role', 'RoleBinding', 'ConfigMap', 'Service', 'Deployment'])
    const found = await installer.live(planned(plan, 'ConfigMap'))
    expect(found.metadata.labels).toEqual({ 'muster.dev/release': release })
    expect(found['data']).toEqual({ greeting: 'hello' })
  })

  it('is unchanged, and not drifted, when it is applied again', async () => {
    const again = await installer.install(bundle, release)
    expect([...again.applied.values()].map((one) => one.action)).toEqual(again.plan.objects.map(() => 'Unchanged'))
    for (const one of again.applied.values()) {
      expect(one.difference).toBeUndefined()
      expect(isDrifted(one.object, fieldManager, one.ownership)).toBe(false)
    }
  })

  it('gets an owned field back that someone changed, and says which manager changed it', async () => {
    const object = planned(plan, 'Deployment')
    await installer.meddle(refOf(object), {
      spec: { template: { spec: { containers: [{ name: 'web', image: 'registry.example/evil:6' }] } } },
    })
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await correct(object)
    expect(corrected.object).toMatchObject({ spec: { template: { spec: { containers: [{ image: 'registry.example/web:1.0' }] } } } })
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(false)
    expect(corrected.difference).toMatchObject({
      type: 'Changed',
      changes: [
        {
          path: '.spec.template.spec.containers[name=web].image',
          what: 'changed',
          by: { manager: 'kubectl-edit', operation: 'Update', time: expect.any(String) },
        },
      ],
    })
    expect(describeDrift(corrected.difference ?? { ref: refOf(object), type: 'Deleted', changes: [] })).toContain('"kubectl-edit"')
  })

  it('gets an owned field back that someone removed', async () => {
    const object = planned(plan, 'ConfigMap')
    await installer.meddle(refOf(object), { data: { greeting: null } }, 'merge')
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await correct(object)
    expect(corrected.object['data']).toEqual({ greeting: 'hello' })
    expect(corrected.difference?.changes).toEqual([{ path: '.data.greeting', what: 'removed' }])
  })

  it('gets its label back, without which it would not be watched', async () => {
    const object = planned(plan, 'Service')
    await installer.meddle(refOf(object), { metadata: { labels: { 'muster.dev/release': null } } }, 'merge')
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await correct(object)
    expect(corrected.object.metadata.labels).toMatchObject({ 'muster.dev/release': release })
  })

  it('does not escape by a label of another release that someone gave it', async () => {
    const object = planned(plan, 'Service')
    await installer.meddle(refOf(object), { metadata: { labels: { 'muster.dev/release': 'elsewhere' } } }, 'merge')
    const corrected = await correct(object)
    expect(corrected.object.metadata.labels).toMatchObject({ 'muster.dev/release': release })
  })

  it('loses a container, a privilege, a volume and host access that someone added', async () => {
    const object = planned(plan, 'Deployment')
    await installer.meddle(refOf(object), {
      spec: {
        template: {
          spec: {
            hostNetwork: true,
            securityContext: { runAsUser: 0 },
            volumes: [{ name: 'root', hostPath: { path: '/' } }],
            containers: [
              { name: 'web', securityContext: { privileged: true }, env: [{ name: 'LD_PRELOAD', value: '/evil.so' }] },
              { name: 'miner', image: 'registry.example/miner:1', volumeMounts: [{ name: 'root', mountPath: '/host' }] },
            ],
          },
        },
      },
    })
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await correct(object)
    const pod = (corrected.object['spec'] as { template: { spec: Record<string, unknown> } }).template.spec
    expect(pod['hostNetwork']).toBeUndefined()
    expect(pod['volumes']).toBeUndefined()
    expect(pod['securityContext']).toEqual({})
    expect(pod['containers']).toEqual([
      expect.objectContaining({ name: 'web', image: 'registry.example/web:1.0', resources: { requests: { cpu: '10m' } } }),
    ])
    expect(JSON.stringify(pod)).not.toMatch(/privileged|LD_PRELOAD|miner/)
    expect(corrected.difference?.changes.every((change) => change.what === 'added' && change.by?.manager === 'kubectl-edit')).toBe(true)
    expect(isDrifted(corrected.object, fieldManager, corrected.ownership)).toBe(false)
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(false)
  })

  it('gets both back when a field was changed and a container added at once', async () => {
    const object = planned(plan, 'Deployment')
    await installer.meddle(refOf(object), {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'web', image: 'registry.example/evil:6' },
              { name: 'miner', image: 'registry.example/miner:1' },
            ],
          },
        },
      },
    })
    const corrected = await correct(object)
    expect(corrected.object).toMatchObject({
      spec: { template: { spec: { containers: [{ name: 'web', image: 'registry.example/web:1.0' }] } } },
    })
    expect(corrected.difference?.changes.map((change) => change.what).sort()).toEqual(['added', 'changed'])
  })

  it('is unchanged also when a controller wrote its status between our read and our apply', async () => {
    const object = planned(plan, 'Deployment')
    const busy = installer.apiWith({
      find: async (ref, options) => {
        const found = await client.find(ref, options)
        await client.patch(ref, { status: { collisionCount: 7 } }, { type: 'merge', subresource: 'status', fieldManager: 'busy' })
        return found
      },
    })
    const again = await applyObject(busy, object, { release, accepted: true })
    expect(again).toMatchObject({ action: 'Unchanged', object: { status: { collisionCount: 7 } } })
    expect(again.difference).toBeUndefined()
  })

  it('loses rights that someone added', async () => {
    const role = planned(plan, 'Role')
    await installer.meddle(refOf(role), { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] }, 'merge')
    const binding = planned(plan, 'RoleBinding')
    await installer.meddle(
      refOf(binding),
      { subjects: [{ kind: 'User', name: 'mallory', apiGroup: 'rbac.authorization.k8s.io' }] },
      'merge',
    )
    expect(isDrifted(await installer.live(role), fieldManager, ownership(role))).toBe(true)
    expect(isDrifted(await installer.live(binding), fieldManager, ownership(binding))).toBe(true)
    expect((await correct(role)).object['rules']).toEqual(role['rules'])
    expect((await correct(binding)).object['subjects']).toBeUndefined()
  })

  it('keeps what nobody owns elsewhere: annotations, labels, replicas by the scale subresource', async () => {
    const object = planned(plan, 'Deployment')
    await installer.meddle(
      refOf(object),
      { metadata: { annotations: { 'example.test/note': 'mine' }, labels: { 'example.test/tier': 'front' } } },
      'merge',
    )
    await installer.meddle(
      refOf(object),
      { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } } } } },
      'merge',
    )
    await client.patch(refOf(object), { spec: { replicas: 3 } }, { type: 'merge', subresource: 'scale', fieldManager: 'autoscaler' })
    expect(isDrifted(await installer.live(object), fieldManager, ownership(object))).toBe(false)
    const again = await correct(object)
    expect(again.action).toBe('Unchanged')
    expect(again.object.metadata.annotations).toMatchObject({ 'example.test/note': 'mine', 'example.test/team': 'shop' })
    expect(again.object).toMatchObject({ spec: { replicas: 3 } })
  })

  it('has an object made again that someone deleted', async () => {
    const object = planned(plan, 'ConfigMap')
    await client.delete(refOf(object))
    const corrected = await correct(object)
    expect(corrected.action).toBe('Created')
    expect(corrected.difference).toMatchObject({ type: 'Deleted' })
    expect((await installer.live(object))['data']).toEqual({ greeting: 'hello' })
  })

  it('does not take an object from another release', async () => {
    const other = await installer.install(
      [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web', namespace: release } }],
      `other-${id}`,
    )
    expect(other.failures).toEqual([expect.objectContaining({ code: 'OwnedByOtherRelease', transient: false })])
  })

  it('tells of each object that the API server refuses, and applies the others', async () => {
    const result = await installer.install(
      [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'good' }, data: { a: 'b' } },
        { apiVersion: 'v1', kind: 'Service', metadata: { name: 'bad' }, spec: { ports: [{ port: 123456 }] } },
        { apiVersion: 'example.test/v1', kind: 'Unheard', metadata: { name: 'of' } },
      ],
      `mixed-${id}`,
      release,
    )
    expect(result.plan.failures).toEqual([
      expect.objectContaining({ ref: expect.objectContaining({ name: 'of' }), code: 'UnknownKind', transient: true }),
    ])
    expect(result.failures).toEqual([
      expect.objectContaining({ ref: expect.objectContaining({ name: 'bad' }), code: 'Invalid', transient: false }),
    ])
    expect([...result.applied.values()].map((one) => one.object.metadata.name)).toEqual(['good'])
  })
})
