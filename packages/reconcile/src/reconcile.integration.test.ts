import { randomBytes } from 'node:crypto'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  type Applied,
  applyObject,
  applyPlan,
  type ClusterApi,
  describeDrift,
  entryOf,
  fieldManager,
  type InventoryEntry,
  isDrifted,
  type Plan,
  planRelease,
  prune,
  refOf,
  remainingEntries,
} from './index.ts'

const id = randomBytes(4).toString('hex')
const release = `shop-${id}`

let client: KubeClient
let api: ClusterApi

beforeAll(async () => {
  client = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'reconcile-test' })
  api = client
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release }).catch(() => undefined)
  client.close()
})

const deployment: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', annotations: { 'example.test/team': 'shop' } },
  spec: {
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

async function install(objects: readonly KubeObject[], name = release, namespace = release, inventory: readonly InventoryEntry[] = []) {
  const plan = await planRelease(api, objects, { release: name, namespace, inventory })
  const result = await applyPlan(api, plan.objects, { release: name })
  return { plan, ...result }
}

function planned(plan: Plan, kind: string): KubeObject {
  const found = plan.objects.find((item) => item.object.kind === kind)?.object
  if (found === undefined) throw new Error(`no ${kind} in the plan`)
  return found
}

/** What someone else does to an object, as kubectl edit would. */
async function meddle(ref: Ref, patch: object, type: 'merge' | 'strategic' = 'strategic'): Promise<void> {
  await client.patch(ref, patch, { type, fieldManager: 'kubectl-edit' })
}

async function live(object: KubeObject): Promise<KubeObject> {
  return client.get(refOf(object))
}

describe('a release that is applied', () => {
  let plan: Plan
  let applied: ReadonlyMap<string, Applied>

  beforeAll(async () => {
    const result = await install(bundle)
    expect(result.failures).toEqual([])
    plan = result.plan
    applied = result.applied
  })

  const ownership = (object: KubeObject): string => {
    const found = [...applied.values()].find((one) => one.object.kind === object.kind && one.object.metadata.name === object.metadata.name)
    if (found === undefined) throw new Error('not applied')
    return found.ownership
  }

  it('has its namespace made, its objects labelled, and nothing else changed', async () => {
    expect(plan.objects.map((item) => item.object.kind)).toEqual(['Namespace', 'Role', 'RoleBinding', 'ConfigMap', 'Service', 'Deployment'])
    const found = await live(planned(plan, 'ConfigMap'))
    expect(found.metadata.labels).toEqual({ 'muster.dev/release': release })
    expect(found['data']).toEqual({ greeting: 'hello' })
  })

  it('is unchanged, and not drifted, when it is applied again', async () => {
    const again = await install(bundle)
    expect([...again.applied.values()].map((one) => one.action)).toEqual(again.plan.objects.map(() => 'Unchanged'))
    for (const one of again.applied.values()) {
      expect(one.difference).toBeUndefined()
      expect(isDrifted(one.object, fieldManager, one.ownership)).toBe(false)
    }
  })

  it('gets an owned field back that someone changed, and says which manager changed it', async () => {
    const object = planned(plan, 'Deployment')
    await meddle(refOf(object), { spec: { template: { spec: { containers: [{ name: 'web', image: 'registry.example/evil:6' }] } } } })
    expect(isDrifted(await live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await applyObject(api, object, { release })
    expect(corrected.object).toMatchObject({ spec: { template: { spec: { containers: [{ image: 'registry.example/web:1.0' }] } } } })
    expect(corrected.ownership).toBe(ownership(object))
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
    await meddle(refOf(object), { data: { greeting: null } }, 'merge')
    expect(isDrifted(await live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await applyObject(api, object, { release })
    expect(corrected.object['data']).toEqual({ greeting: 'hello' })
    expect(corrected.difference?.changes).toEqual([{ path: '.data.greeting', what: 'removed' }])
  })

  it('gets its label back, without which it would not be watched', async () => {
    const object = planned(plan, 'Service')
    await meddle(refOf(object), { metadata: { labels: { 'muster.dev/release': null } } }, 'merge')
    expect(isDrifted(await live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await applyObject(api, object, { release })
    expect(corrected.object.metadata.labels).toMatchObject({ 'muster.dev/release': release })
  })

  it('does not escape by a label of another release that someone gave it', async () => {
    const object = planned(plan, 'Service')
    await meddle(refOf(object), { metadata: { labels: { 'muster.dev/release': 'elsewhere' } } }, 'merge')
    const corrected = await applyObject(api, object, { release })
    expect(corrected.object.metadata.labels).toMatchObject({ 'muster.dev/release': release })
  })

  it('loses a container, a privilege, a volume and host access that someone added', async () => {
    const object = planned(plan, 'Deployment')
    await meddle(refOf(object), {
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
    expect(isDrifted(await live(object), fieldManager, ownership(object))).toBe(true)
    const corrected = await applyObject(api, object, { release })
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
    expect(corrected.ownership).toBe(ownership(object))
  })

  it('gets both back when a field was changed and a container added at once', async () => {
    const object = planned(plan, 'Deployment')
    await meddle(refOf(object), {
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
    const corrected = await applyObject(api, object, { release })
    expect(corrected.object).toMatchObject({
      spec: { template: { spec: { containers: [{ name: 'web', image: 'registry.example/web:1.0' }] } } },
    })
    expect(corrected.difference?.changes.map((change) => change.what).sort()).toEqual(['added', 'changed'])
  })

  it('loses rights that someone added', async () => {
    const role = planned(plan, 'Role')
    await meddle(refOf(role), { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] }, 'merge')
    const binding = planned(plan, 'RoleBinding')
    await meddle(refOf(binding), { subjects: [{ kind: 'User', name: 'mallory', apiGroup: 'rbac.authorization.k8s.io' }] }, 'merge')
    expect(isDrifted(await live(role), fieldManager, ownership(role))).toBe(true)
    expect(isDrifted(await live(binding), fieldManager, ownership(binding))).toBe(true)
    expect((await applyObject(api, role, { release })).object['rules']).toEqual(role['rules'])
    expect((await applyObject(api, binding, { release })).object['subjects']).toBeUndefined()
  })

  it('keeps what nobody owns elsewhere: annotations, labels, replicas by the scale subresource', async () => {
    const object = planned(plan, 'Deployment')
    await meddle(
      refOf(object),
      { metadata: { annotations: { 'example.test/note': 'mine' }, labels: { 'example.test/tier': 'front' } } },
      'merge',
    )
    await meddle(
      refOf(object),
      { spec: { template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': 'now' } } } } },
      'merge',
    )
    await client.patch(refOf(object), { spec: { replicas: 3 } }, { type: 'merge', subresource: 'scale', fieldManager: 'autoscaler' })
    expect(isDrifted(await live(object), fieldManager, ownership(object))).toBe(false)
    const again = await applyObject(api, object, { release })
    expect(again.action).toBe('Unchanged')
    expect(again.object.metadata.annotations).toMatchObject({ 'example.test/note': 'mine', 'example.test/team': 'shop' })
    expect(again.object).toMatchObject({ spec: { replicas: 3 } })
  })

  it('has an object made again that someone deleted', async () => {
    const object = planned(plan, 'ConfigMap')
    await client.delete(refOf(object))
    const corrected = await applyObject(api, object, { release })
    expect(corrected.action).toBe('Created')
    expect(corrected.difference).toMatchObject({ type: 'Deleted' })
    expect((await live(object))['data']).toEqual({ greeting: 'hello' })
  })

  it('does not take an object from another release', async () => {
    const other = await install([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'web', namespace: release } }], `other-${id}`)
    expect(other.failures).toEqual([expect.objectContaining({ code: 'OwnedByOtherRelease', transient: false })])
  })

  it('tells of each object that the API server refuses, and applies the others', async () => {
    const result = await install(
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

describe('a bundle with a definition', () => {
  const group = `g${id}.example.test`
  const definition: KubeObject = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind: 'Widget', plural: 'widgets' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  }
  const widget: KubeObject = { apiVersion: `${group}/v1`, kind: 'Widget', metadata: { name: 'one' }, spec: { size: 1 } }
  const name = `widgets-${id}`

  it('has its custom resources applied as soon as they are served, and all of it pruned again', async () => {
    const result = await install([widget, definition], name, name)
    expect(result.failures).toEqual([])
    expect([...result.applied.keys()]).toEqual([
      `CustomResourceDefinition.apiextensions.k8s.io//widgets.${group}`,
      `Namespace//${name}`,
      `Widget.${group}/${name}/one`,
    ])
    const inventory = [...result.applied.values()].map((one) => entryOf(one.object))
    await pruneAll(inventory, name)
    expect(await client.find(refOf(definition))).toBeUndefined()
  })
})

async function pruneAll(inventory: readonly InventoryEntry[], name: string, inUse?: (ref: Ref) => string | undefined) {
  let left: readonly InventoryEntry[] = inventory
  for (let round = 0; left.length > 0; round++) {
    const results = await prune(api, left, { release: name, ...(inUse === undefined ? {} : { inUse }) })
    left = remainingEntries(results)
    if (round > 300) throw new Error(results.map((one) => one.message).join(' '))
    if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('prune', () => {
  it('deletes exactly the inventory: not what was there before, not what is no longer ours, not a successor', async () => {
    const name = `prune-${id}`
    const namespace = `kept-${id}`
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    await client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bystander', namespace }, data: {} })
    const objects = ['a', 'b', 'c'].map(
      (one): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: one }, data: { x: '1' } }),
    )
    const { plan, applied, failures } = await install(objects, name, namespace)
    expect(failures).toEqual([])
    expect(plan.objects.map((item) => item.object.kind)).toEqual(['ConfigMap', 'ConfigMap', 'ConfigMap'])
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    await meddle(
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'b', namespace },
      { metadata: { labels: { 'muster.dev/release': 'another' } } },
      'merge',
    )
    const results = await prune(api, inventory, { release: name })
    expect(results.map(({ entry, outcome }) => [entry.name, outcome])).toEqual([
      ['c', 'Gone'],
      ['b', 'Kept'],
      ['a', 'Gone'],
    ])
    const left = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace })
    expect(
      left.items
        .map((item) => item.metadata.name)
        .filter((one) => one !== 'kube-root-ca.crt')
        .sort(),
    ).toEqual(['b', 'bystander'])
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  })

  it('keeps a namespace that was there before, even when the bundle names it', async () => {
    const namespace = `before-${id}`
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const { plan } = await install([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }], `taker-${id}`, namespace)
    expect(plan.objects).toEqual([expect.objectContaining({ ours: false })])
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  })

  it('keeps a protected object whose uid is not the one that the release made', async () => {
    const name = `claim-${id}`
    const { applied } = await install(
      [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
      ],
      name,
      release,
    )
    const inventory = [...applied.values()].map((one) => ({ ...entryOf(one.object), uid: '00000000-0000-0000-0000-000000000000' }))
    const results = await prune(api, inventory, { release: name })
    expect(results).toEqual([expect.objectContaining({ outcome: 'Kept' })])
  })

  it('says what a deletion waits for, and does not go on to what it needs', async () => {
    const name = `stuck-${id}`
    const { applied } = await install(
      [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'held', finalizers: ['example.test/hold'] } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'needed' } },
      ],
      name,
      release,
    )
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const results = await prune(api, inventory, { release: name })
    expect(results).toEqual([
      expect.objectContaining({ outcome: 'Deleting', message: expect.stringContaining('example.test/hold') }),
      expect.objectContaining({ outcome: 'Waiting', message: expect.stringContaining('held') }),
    ])
    expect(remainingEntries(results)).toHaveLength(2)
    await client.patch(
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'held', namespace: release },
      { metadata: { finalizers: null } },
      { type: 'merge' },
    )
    await pruneAll(inventory, name)
  })

  it('keeps what another release uses', async () => {
    const name = `used-${id}`
    const { applied } = await install([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }], name, name)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    await pruneAll(inventory, name, (ref) => (ref.kind === 'Namespace' ? 'Release shop runs in it.' : undefined))
    expect(await client.find({ apiVersion: 'v1', kind: 'Namespace', name })).toBeDefined()
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
  })
})
