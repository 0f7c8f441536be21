import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type ApplyOptions, applyObject, type ClusterApi, fieldOwners, refOf } from './index.ts'
import { TestInstaller } from './testing/installer.ts'

let installer: TestInstaller
let client: KubeClient
let release: string

beforeAll(async () => {
  installer = await TestInstaller.connect(inject('kubeconfig'))
  client = installer.client
  release = `apply-${installer.id}`
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: release } })
})

afterAll(async () => {
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: release })
  client.close()
})

/** The cluster, with a diary of what is asked of it. */
function counting(): { api: ClusterApi; asked: string[] } {
  const asked: string[] = []
  const api = installer.apiWith({
    find: async (ref, options) => {
      asked.push('find')
      return client.find(ref, options)
    },
    apply: async (object, options) => {
      asked.push(options.dryRun === true ? 'try' : 'apply')
      return client.apply(object, options)
    },
    patch: async (ref, patch, options) => {
      asked.push('patch')
      return client.patch(ref, patch, options)
    },
    delete: async (ref, options) => {
      asked.push('delete')
      return client.delete(ref, options)
    },
  })
  return { api, asked }
}

const settings = (name: string, data: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: release, labels: { 'muster.dev/release': release } },
  data,
})

const web = (name: string, spec: object): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: release, labels: { 'muster.dev/release': release } },
  spec: {
    paused: true,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'web', image: 'registry.example/web:1.0' }] } },
    ...spec,
  },
})

async function made(object: KubeObject): Promise<KubeObject> {
  const { labels: _, ...metadata } = object.metadata
  return client.create({ ...object, metadata }, { fieldManager: 'kubectl-create' })
}

describe('an object costs', () => {
  it('one request when it is new, and one when it becomes another', async () => {
    const { api, asked } = counting()
    const created = await applyObject(api, settings('cheap', { a: '1' }), { release })
    expect(created).toMatchObject({ action: 'Created', object: { data: { a: '1' } } })
    expect(created.object.metadata.managedFields).toHaveLength(1)
    const changed = await applyObject(api, settings('cheap', { b: '2' }), { release, expect: 'present' })
    expect(changed).toMatchObject({ action: 'Changed', object: { data: { b: '2' } } })
    expect(changed.object['data']).toEqual({ b: '2' })
    expect(asked).toEqual(['apply', 'apply'])
  })

  it('a wrong guess some requests, and nothing else', async () => {
    const { api, asked } = counting()
    await applyObject(api, settings('guessed', { a: '1' }), { release, expect: 'present' })
    await applyObject(api, settings('guessed', { a: '2' }), { release, expect: 'absent' })
    expect((await client.get(refOf(settings('guessed', {}))))['data']).toEqual({ a: '2' })
    expect(asked).toEqual(['apply', 'apply', 'find', 'apply'])
  })
})

describe('an object that was there before and is not the release’s', () => {
  it('is refused untouched, with who made it and what to do', async () => {
    const before = await made(settings('theirs', { a: 'theirs' }))
    const refused = applyObject(client, settings('theirs', { b: 'ours' }), { release })
    await expect(refused).rejects.toMatchObject({ code: 'NotAdopted', transient: false })
    await expect(refused).rejects.toThrow(/ConfigMap apply-\w+\/theirs .*"kubectl-create".*adopt/)
    expect((await client.get(refOf(before))).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
  })

  it('is not taken over where the release was to make it, whatever it may adopt; and is the one that it made by its uid', async () => {
    const before = await made(settings('meanwhile', { a: 'theirs' }))
    const asked = { release, accepted: true, takeOver: { adopt: [{ kind: 'ConfigMap' }] } }
    for (const uid of [undefined, '00000000-0000-0000-0000-000000000000']) {
      const refused = applyObject(client, settings('meanwhile', { a: 'ours' }), { ...asked, own: { uid } })
      await expect(refused).rejects.toMatchObject({ code: 'MadeMeanwhile', transient: true })
    }
    expect((await client.get(refOf(before))).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
    await applyObject(client, settings('meanwhile', { a: 'ours' }), { ...asked, own: { uid: before.metadata.uid } })
    expect((await client.get(refOf(before)))['data']).toEqual({ a: 'ours' })
  })

  it('is adopted where the release may, and what hands wrote by kubectl is taken', async () => {
    await made(settings('adopted', { a: 'theirs', kept: 'theirs' }))
    for (const adopt of [[{ kind: 'Secret' }], [{ kind: 'ConfigMap', name: 'another' }]]) {
      await expect(applyObject(client, settings('adopted', { a: 'ours' }), { release, takeOver: { adopt } })).rejects.toMatchObject({
        code: 'NotAdopted',
      })
    }
    const adopt = [{ kind: 'ConfigMap', name: 'adopted' }]
    const applied = await applyObject(client, settings('adopted', { a: 'ours' }), { release, takeOver: { adopt } })
    expect(applied).toMatchObject({ action: 'Adopted', object: { data: { a: 'ours', kept: 'theirs' } } })
  })

  it('keeps what a controller set, unless the placement takes it from that controller', async () => {
    const { labels: _, ...metadata } = settings('run', {}).metadata
    await client.apply({ ...settings('run', { a: 'set' }), metadata }, { fieldManager: 'operator' })
    const adopt = [{ name: 'run' }]
    const refused = applyObject(client, settings('run', { a: 'ours' }), { release, takeOver: { adopt } })
    await expect(refused).rejects.toMatchObject({ code: 'Conflict', transient: false })
    await expect(refused).rejects.toThrow(/"operator" owns \.data\.a.*takeFrom/)
    expect((await client.get(refOf(settings('run', {}))))['data']).toEqual({ a: 'set' })
    const takeOver = { adopt, takeFrom: ['operator'] }
    expect(await applyObject(client, settings('run', { a: 'ours' }), { release, takeOver })).toMatchObject({
      object: { data: { a: 'ours' } },
    })
  })

  it('is taken where Kubernetes itself puts one into every namespace', async () => {
    const ref = { apiVersion: 'v1', kind: 'ServiceAccount', name: 'default', namespace: release }
    await expect.poll(() => client.find(ref)).toBeDefined()
    const object = { ...settings('default', {}), kind: 'ServiceAccount', automountServiceAccountToken: false }
    const { data: _, ...account } = object as KubeObject
    expect(await applyObject(client, account, { release })).toMatchObject({
      action: 'Adopted',
      object: { automountServiceAccountToken: false },
    })
  })
})

describe('a namespace that two releases run in', () => {
  it('is made by one of them, and used by the other as it is', async () => {
    const name = `both-${installer.id}`
    const [one, other] = await Promise.all(
      ['one', 'other'].map((each) => installer.install([{ ...settings(each, {}), metadata: { name: each } }], each, name)),
    )
    expect([one?.failures, other?.failures]).toEqual([[], []])
    expect([...(one?.foreign ?? []), ...(other?.foreign ?? [])].length).toBeLessThanOrEqual(1)
    expect(
      (await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: name })).items.map(({ metadata }) => metadata.name),
    ).toEqual(expect.arrayContaining(['one', 'other']))
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name })
  })
})

describe('a new version that sets a field of another manager', () => {
  const scaled = async (name: string): Promise<void> => {
    await applyObject(client, web(name, {}), { release })
    await client.apply({ ...web(name, {}), metadata: { name, namespace: release }, spec: { replicas: 4 } } as KubeObject, {
      fieldManager: 'autoscaler',
    })
  }

  it('is refused, told by manager and field, and the object stays as it was', async () => {
    await scaled('scaled')
    const { api, asked } = counting()
    const last = async () => web('scaled', {})
    const refused = applyObject(api, web('scaled', { replicas: 1 }), { release, expect: 'present', last })
    await expect(refused).rejects.toMatchObject({ code: 'Conflict' })
    await expect(refused).rejects.toThrow(/"autoscaler" owns \.spec\.replicas/)
    expect(asked).toEqual(['apply', 'find'])
    expect(await client.get(refOf(web('scaled', {})))).toMatchObject({ spec: { replicas: 4 } })
  })

  it('takes it where the placement says so', async () => {
    await scaled('taken')
    const takeOver = { takeFrom: ['autoscaler'] }
    const applied = await applyObject(client, web('taken', { replicas: 1 }), { release, expect: 'present', takeOver })
    expect(applied.object).toMatchObject({ spec: { replicas: 1 } })
    expect(fieldOwners(applied.object).map(({ manager }) => manager)).not.toContain('autoscaler')
  })

  it('takes back what the version before set and somebody changed: that is drift', async () => {
    const before = web('drifted', { replicas: 2 })
    await applyObject(client, before, { release })
    const image = { spec: { replicas: 7, template: { spec: { containers: [{ name: 'web', image: 'registry.example/evil:6' }] } } } }
    await installer.meddle(refOf(before), image)
    const next = web('drifted', { replicas: 3 })
    const options: ApplyOptions = { release, expect: 'present' }
    await expect(applyObject(client, next, options)).rejects.toThrow(/"kubectl-edit" owns .*containers\[name="web"\]\.image/)
    const applied = await applyObject(client, next, { ...options, last: async () => before })
    expect(applied.object).toMatchObject({
      spec: { replicas: 3, template: { spec: { containers: [{ image: 'registry.example/web:1.0' }] } } },
    })
  })
})

describe('a field that cannot be changed', () => {
  const job = (name: string, more: { annotations?: Record<string, string>; command: string; image?: string }): KubeObject => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      name,
      namespace: release,
      labels: { 'muster.dev/release': release },
      ...(more.annotations === undefined ? {} : { annotations: more.annotations }),
    },
    spec: {
      suspend: true,
      template: {
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'one', image: more.image ?? 'registry.example/one:1', command: [more.command] }],
        },
      },
    },
  })
  const recreate = { annotations: { 'muster.dev/recreate': 'true' } }

  it('is told with its name and what to do, and the object stays', async () => {
    const { object } = await applyObject(client, job('fixed', { command: 'a' }), { release })
    const refused = applyObject(client, job('fixed', { command: 'b' }), { release, expect: 'present' })
    await expect(refused).rejects.toMatchObject({ code: 'Immutable', transient: false })
    await expect(refused).rejects.toThrow(/spec\.template\.spec \(field is immutable\).*muster\.dev\/recreate/)
    expect((await client.get(refOf(object))).metadata.uid).toBe(object.metadata.uid)
  })

  it('has the object deleted and made again where the object declares it', async () => {
    const { object } = await applyObject(client, job('again', { ...recreate, command: 'a' }), { release })
    const applied = await applyObject(client, job('again', { ...recreate, command: 'b' }), { release, expect: 'present' })
    expect(applied).toMatchObject({ action: 'Recreated', object: { spec: { template: { spec: { containers: [{ command: ['b'] }] } } } } })
    expect(applied.object.metadata.uid).not.toBe(object.metadata.uid)
  })

  it('costs no object for content that is refused anyway', async () => {
    const { object } = await applyObject(client, job('kept', { ...recreate, command: 'a' }), { release })
    const wrong = job('kept', { ...recreate, command: 'b', image: '' })
    await expect(applyObject(client, wrong, { release, expect: 'present' })).rejects.toMatchObject({ code: 'Invalid' })
    expect((await client.get(refOf(object))).metadata.uid).toBe(object.metadata.uid)
  })

  it('never costs a claim, whatever it declares', async () => {
    const claim = (storage: string, mode: string): KubeObject => ({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'data', namespace: release, ...recreate },
      spec: { accessModes: [mode], resources: { requests: { storage } } },
    })
    const { object } = await applyObject(client, claim('1Gi', 'ReadWriteOnce'), { release })
    const refused = applyObject(client, claim('1Gi', 'ReadWriteMany'), { release, expect: 'present' })
    await expect(refused).rejects.toMatchObject({ code: 'Immutable' })
    await expect(refused).rejects.toThrow(/never deleted/)
    expect((await client.get(refOf(object))).metadata.uid).toBe(object.metadata.uid)
  })
})
