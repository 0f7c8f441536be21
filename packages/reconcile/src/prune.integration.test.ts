import type { KubeClient, KubeObject, TypedObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { entryOf, entryRef, type InventoryEntry, type PruneOptions, prune, refOf, remainingEntries } from './index.ts'
import { TestInstaller } from './testing/installer.ts'

let installer: TestInstaller
let client: KubeClient
let id: string
let release: string

beforeAll(async () => {
  installer = await TestInstaller.connect(inject('kubeconfig'))
  client = installer.client
  id = installer.id
  release = `home-${id}`
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: release } })
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release })
  client.close()
})

describe('a bundle with a definition', () => {
  const definition = (group: string): KubeObject => ({
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
  })

  it('has its custom resources applied as soon as they are served, and all of it pruned again', async () => {
    const group = `g${id}.example.test`
    const name = `widgets-${id}`
    const widget: KubeObject = { apiVersion: `${group}/v1`, kind: 'Widget', metadata: { name: 'one' }, spec: { size: 1 } }
    const result = await installer.install([widget, definition(group)], name)
    expect(result.failures).toEqual([])
    expect([...result.applied.keys()]).toEqual([
      `CustomResourceDefinition.apiextensions.k8s.io//widgets.${group}`,
      `Namespace//${name}`,
      `Widget.${group}/${name}/one`,
    ])
    const inventory = [...result.applied.values()].map((one) => entryOf(one.object))
    await pruneAll(inventory, name)
    expect(await client.find(refOf(definition(group)))).toBeUndefined()
  })
})

async function pruneAll(inventory: readonly InventoryEntry[], name: string, inUse?: PruneOptions['inUse'], kept: string[] = []) {
  let left: readonly InventoryEntry[] = inventory
  for (let round = 0; left.length > 0; round++) {
    const results = await prune(client, left, { release: name, ...(inUse === undefined ? {} : { inUse }) })
    left = remainingEntries(results)
    kept.push(...results.filter((one) => one.outcome === 'Kept').map((one) => one.message))
    if (round > 300) throw new Error(results.map((one) => one.message).join(' '))
    if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('prune', () => {
  const claim: KubeObject = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  }

  it('deletes exactly the inventory: not what was there before, not what is no longer ours, not a successor', async () => {
    const name = `prune-${id}`
    const namespace = `kept-${id}`
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    await client.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bystander', namespace }, data: {} })
    const objects = ['a', 'b', 'c'].map(
      (one): KubeObject => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: one }, data: { x: '1' } }),
    )
    const { plan, applied, failures } = await installer.install(objects, name, namespace)
    expect(failures).toEqual([])
    expect(plan.objects.map((item) => item.object.kind)).toEqual(['ConfigMap', 'ConfigMap', 'ConfigMap'])
    // What was planned and never made; somebody else has one of that name, with the labels of another that was copied.
    const copied = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'd', namespace, labels: { 'muster.dev/release': name } },
      data: {},
    }
    await client.create(copied)
    const inventory = [...[...applied.values()].map((one) => entryOf(one.object)), entryOf(copied as KubeObject)]
    await installer.meddle(
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'b', namespace },
      { metadata: { labels: { 'muster.dev/release': 'another' } } },
      'merge',
    )
    const results = await prune(client, inventory, { release: name })
    expect(results.map(({ entry, outcome }) => [entry.name, outcome])).toEqual([
      ['d', 'Kept'],
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
    ).toEqual(['b', 'bystander', 'd'])
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  })

  it('keeps a namespace that was there before, even when the bundle names it', async () => {
    const namespace = `before-${id}`
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
    const { plan } = await installer.install(
      [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }],
      `taker-${id}`,
      namespace,
    )
    expect(plan.objects).toEqual([expect.objectContaining({ ours: false })])
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
  })

  it('keeps a protected object whose uid is not the one that the release made', async () => {
    const name = `claim-${id}`
    const { applied } = await installer.install(
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
    const results = await prune(client, inventory, { release: name })
    expect(results).toEqual([expect.objectContaining({ outcome: 'Kept' })])
  })

  it('says what a deletion waits for, and does not go on to what it needs', async () => {
    const name = `stuck-${id}`
    const { applied } = await installer.install(
      [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'held', finalizers: ['example.test/hold'] } },
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'needed' } },
      ],
      name,
      release,
    )
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const results = await prune(client, inventory, { release: name })
    expect(results).toEqual([
      expect.objectContaining({ outcome: 'Deleting', message: expect.stringMatching(/example.test\/hold \(set by "muster-agent"/) }),
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

  it('keeps a namespace that the release made while others have something in it, and says what', async () => {
    const name = `shared-${id}`
    const { applied } = await installer.install(
      [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ours' } },
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'ours' },
          spec: {
            selector: { matchLabels: { app: 'ours' } },
            template: {
              metadata: { labels: { app: 'ours' } },
              spec: { containers: [{ name: 'web', image: 'registry.example/web:1.0' }] },
            },
          },
        },
      ],
      name,
    )
    const neighbour: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'neighbour', namespace: name } }
    await client.create(neighbour)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const said: string[] = []
    await pruneAll(inventory, name, undefined, said)
    expect(said.join(' ')).toContain(`Secret ${name}/neighbour.`)
    expect(await client.find(refOf(neighbour))).toBeDefined()
    expect(await client.find({ apiVersion: 'apps/v1', kind: 'Deployment', name: 'ours', namespace: name })).toBeUndefined()
    // Without it, what Kubernetes itself and the workload's remains leave there does not keep the namespace.
    await client.delete(refOf(neighbour))
    await pruneAll(inventory, name)
    expect(await client.find({ apiVersion: 'v1', kind: 'Namespace', name })).toBeUndefined()
  })

  it('leaves what another release uses to that one, with the uid by which it is known, and to nobody what is not to be deleted at all', async () => {
    const name = `used-${id}`
    const { applied } = await installer.install([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }], name, name)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const inUse: PruneOptions['inUse'] = ({ kind }) =>
      kind === 'Namespace' ? { release: 'shop', message: 'Release shop runs in it.', goes: false } : undefined
    const results = await prune(client, inventory, { release: name, inUse })
    expect(results.map(({ entry, outcome, user }) => [entry.kind, outcome, user])).toEqual([
      ['ConfigMap', 'Gone', undefined],
      ['Namespace', 'InUse', 'shop'],
    ])
    expect(remainingEntries(results)).toEqual([])
    const namespace = { apiVersion: 'v1', kind: 'Namespace', name }
    const { uid } = (await client.get(namespace)).metadata
    expect(results[1]?.entry.uid).toBe(uid)
    const left = results.slice(1).map(({ entry }) => ({ ...entry, madeBy: name }))
    // Nobody asks the one that it was left to what becomes of others' objects in it.
    const neighbour: KubeObject = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'neighbour', namespace: name } }
    await client.create(neighbour)
    expect(await prune(client, left, { release: 'shop', consented: () => true })).toEqual([
      expect.objectContaining({ outcome: 'Kept', message: expect.stringContaining(`Secret ${name}/neighbour`) }),
    ])
    await client.delete(refOf(neighbour))
    expect(await prune(client, left, { release: 'bakery' })).toEqual([expect.objectContaining({ outcome: 'Deleting' })])
  })

  describe('what was written down before it was made, without the uid that it got', () => {
    const entryOfNamespace = (name: string): InventoryEntry => ({ apiVersion: 'v1', kind: 'Namespace', name })
    const made = (name: string, release: string): KubeObject => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'muster.dev/release': release } },
    })

    it('is deleted where the agent applied it for this release', async () => {
      const name = `cut-${id}`
      await client.apply(made(name, name) as TypedObject, { fieldManager: 'muster-agent', force: true })
      expect(await prune(client, [entryOfNamespace(name)], { release: name })).toEqual([expect.objectContaining({ outcome: 'Deleting' })])
    })

    it('is kept where somebody else made it, even under the label of the release', async () => {
      const name = `forged-${id}`
      await client.create(made(name, name), { fieldManager: 'kubectl-create' })
      expect(await prune(client, [entryOfNamespace(name)], { release: name })).toEqual([expect.objectContaining({ outcome: 'Kept' })])
      await client.delete(entryOfNamespace(name))
    })

    it('waits for consent with the uid that has to be consented to', async () => {
      const name = `cut-claim-${id}`
      const { applied } = await installer.install([claim], name)
      const made = [...applied.values()].map(({ object }) => object).find(({ kind }) => kind === claim.kind) as KubeObject
      const [result] = await prune(client, [entryRef(entryOf(made))], { release: name })
      expect(result).toMatchObject({ outcome: 'NeedsConsent', entry: { uid: made.metadata.uid } })
      await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
    })
  })

  it('waits for what another release has in it and lets go, and deletes it then', async () => {
    const name = `leaving-${id}`
    const { applied } = await installer.install([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' } }], name, name)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const namespace = { apiVersion: 'v1', kind: 'Namespace', name }
    const goes: PruneOptions['inUse'] = ({ kind }) =>
      kind === 'Namespace' ? { release: 'shop', message: 'Release shop goes too.', goes: true } : undefined
    const results = await prune(client, inventory, { release: name, inUse: goes })
    expect(results.map(({ entry, outcome }) => `${entry.kind} ${outcome}`)).toEqual(['ConfigMap Gone', 'Namespace Waiting'])
    expect((await client.get(namespace)).metadata.deletionTimestamp).toBeUndefined()
    await pruneAll(remainingEntries(results), name)
    expect(await client.find(namespace)).toBeUndefined()
  })

  it('waits for consent before it deletes a claim, and keeps what the claim needs until then', async () => {
    const name = `data-${id}`
    const { applied } = await installer.install([claim], name)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const results = await prune(client, inventory, { release: name })
    expect(results).toEqual([
      expect.objectContaining({ outcome: 'NeedsConsent', message: 'With it goes the data that it holds.' }),
      expect.objectContaining({ outcome: 'Waiting', message: expect.stringContaining('PersistentVolumeClaim') }),
    ])
    expect(remainingEntries(results)).toHaveLength(2)
    let left: readonly InventoryEntry[] = inventory
    for (let round = 0; left.length > 0 && round < 300; round++) {
      left = remainingEntries(await prune(client, left, { release: name, consented: (entry) => entry.name === 'data' }))
      if (left.length > 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(left).toEqual([])
  })

  it('leaves everything as it is where that is said, with nobody to keep it', async () => {
    const name = `left-${id}`
    const { applied } = await installer.install([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, data: { a: '1' } }], name)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const results = await prune(client, inventory, { release: name, leave: true })
    expect(results.map(({ outcome }) => outcome)).toEqual(['Kept', 'Kept'])
    const live = await client.get({ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', namespace: name })
    expect(live.metadata.labels ?? {}).toEqual({})
    expect(live['data']).toEqual({ a: '1' })
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
  })

  it('leaves an object that says so of itself', async () => {
    const name = `stays-${id}`
    const annotations = { 'muster.dev/prune': 'keep' }
    const objects: KubeObject[] = [
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'stays', annotations } },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'goes' } },
    ]
    const { applied } = await installer.install(objects, name, release)
    const inventory = [...applied.values()].map((one) => entryOf(one.object))
    const results = await prune(client, inventory, { release: name })
    expect(results.map(({ entry, outcome }) => [entry.name, outcome])).toEqual([
      ['stays', 'Kept'],
      ['goes', 'Gone'],
    ])
    await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: 'stays', namespace: release })
  })

  it('waits for consent before it deletes a definition of which others have resources', async () => {
    const group = `h${id}.example.test`
    const name = `definition-${id}`
    const definition: KubeObject = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `gadgets.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { kind: 'Gadget', plural: 'gadgets' },
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
    const own: KubeObject = { apiVersion: `${group}/v1`, kind: 'Gadget', metadata: { name: 'own' } }
    const { applied, failures } = await installer.install([definition, own], name)
    expect(failures).toEqual([])
    const others: KubeObject = { apiVersion: `${group}/v1`, kind: 'Gadget', metadata: { name: 'others', namespace: release } }
    await client.create(others)
    let left: readonly InventoryEntry[] = [...applied.values()].map((one) => entryOf(one.object))
    const said = new Set<string>()
    for (let round = 0; round < 100 && !said.has('NeedsConsent'); round++) {
      const results = await prune(client, left, { release: name })
      for (const { outcome, message } of results) if (outcome === 'NeedsConsent') said.add(outcome).add(message)
      left = remainingEntries(results)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect([...said].join(' ')).toContain(`Gadget ${release}/others`)
    await client.delete(refOf(others))
    await pruneAll(left, name)
    expect(await client.find(refOf(definition))).toBeUndefined()
  })
})
