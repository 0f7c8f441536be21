import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KubeClient } from './client.ts'
import { KubeError } from './error.ts'
import type { KubeObject } from './object.ts'
import { openCluster, type TestCluster } from './testing/cluster.ts'
import { openProxy } from './testing/gate.ts'

let cluster: TestCluster
let client: KubeClient

beforeAll(async () => {
  cluster = await openCluster()
  client = cluster.client
})

afterAll(() => cluster.dispose())

const configMaps = { apiVersion: 'v1', kind: 'ConfigMap' }
const configMap = (name: string, data: Record<string, string> = {}, finalizers?: string[]): KubeObject => ({
  ...configMaps,
  metadata: { name, ...(finalizers ? { finalizers } : {}) },
  data,
})

describe('objects of a real API server', () => {
  it('are created, found, replaced, patched and deleted', async () => {
    const ref = { ...configMaps, name: 'crud' }
    expect(await client.find(ref)).toBeUndefined()
    const created = await client.create(configMap('crud', { a: '1' }))
    await expect(client.create(configMap('crud'))).rejects.toMatchObject({ code: 'AlreadyExists' })
    const replaced = await client.replace({ ...created, data: { a: '2' } })
    await expect(client.replace({ ...created, data: { a: '3' } })).rejects.toMatchObject({ code: 'Conflict', transient: true })
    expect(replaced['data']).toEqual({ a: '2' })
    await client.patch(ref, { data: { b: '1' } }, { type: 'merge' })
    await client.patch(ref, [{ op: 'remove', path: '/data/a' }], { type: 'json' })
    expect((await client.get(ref))['data']).toEqual({ b: '1' })
    await expect(client.delete(ref, { uid: 'another' })).rejects.toMatchObject({ code: 'Conflict' })
    expect(await client.delete(ref, { uid: created.metadata.uid })).toBe('gone')
    expect(await client.delete(ref)).toBe('gone')
    await expect(client.get(ref)).rejects.toMatchObject({ code: 'NotFound', status: 404 })
  })

  it('are still being deleted while they have a finalizer', async () => {
    const ref = { ...configMaps, name: 'held' }
    await client.create(configMap('held', {}, ['muster.dev/test']))
    expect(await client.delete(ref)).toBe('deleting')
    await client.patch(ref, { metadata: { finalizers: null } }, { type: 'merge' })
    expect(await client.find(ref)).toBeUndefined()
  })

  it('are applied by field manager: again without change, with a conflict, by force, and tried only', async () => {
    const first = await client.apply(configMap('applied', { a: '1' }))
    expect((await client.apply(configMap('applied', { a: '1' }))).metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    const other = { fieldManager: 'other' }
    await expect(client.apply(configMap('applied', { a: '2' }), other)).rejects.toMatchObject({
      code: 'Conflict',
      transient: false,
      details: { causes: [{ reason: 'FieldManagerConflict', field: '.data.a' }] },
    })
    const tried = await client.apply(configMap('applied', { a: '2' }), { ...other, force: true, dryRun: true })
    expect(tried['data']).toEqual({ a: '2' })
    expect((await client.get({ ...configMaps, name: 'applied' }))['data']).toEqual({ a: '1' })
    await client.apply(configMap('applied', { a: '2' }), { ...other, force: true })
    expect((await client.apply(configMap('applied', {})))['data']).toEqual({ a: '2' })
  })

  it('are applied by many at once without an error', async () => {
    const all = Array.from({ length: 20 }, (_, index) =>
      client.apply(configMap('raced', { [`k${index}`]: '1' }), { fieldManager: `m${index}` }),
    )
    await Promise.all(all)
    expect(Object.keys((await client.get({ ...configMaps, name: 'raced' }))['data'] as object)).toHaveLength(20)
  })

  it('are refused with the field that is wrong', async () => {
    await expect(client.apply(configMap('Wrong_Name'))).rejects.toMatchObject({
      code: 'Invalid',
      details: { causes: [{ field: 'metadata.name' }] },
    })
    const unknown = { ...configMap('unknown'), dta: {} }
    await expect(client.apply(unknown, { fieldValidation: 'Strict' })).rejects.toMatchObject({ code: 'Invalid' })
    await expect(client.create({ ...configMap('x'), metadata: { name: 'x', namespace: 'no-such-namespace' } })).rejects.toMatchObject({
      code: 'NotFound',
      details: { kind: 'namespaces', name: 'no-such-namespace' },
    })
  })

  it('are listed page by page as one, by label', async () => {
    const labels = { 'muster.dev/test': 'paged' }
    await Promise.all(
      Array.from({ length: 25 }, (_, index) =>
        client.create({ ...configMaps, metadata: { name: `paged-${index}`, labels } } as KubeObject),
      ),
    )
    const what = { ...configMaps, namespace: cluster.namespace, labelSelector: 'muster.dev/test=paged' }
    const { items, resourceVersion } = await client.list(what, { limit: 4 })
    expect([items.length, new Set(items.map(({ kind }) => kind))]).toEqual([25, new Set(['ConfigMap'])])
    expect(resourceVersion).toMatch(/./)
    const one = await client.list({ ...configMaps, namespace: cluster.namespace, fieldSelector: 'metadata.name=paged-7' })
    expect(one.items).toHaveLength(1)
  })

  it('are watched from what there is to what happens', async () => {
    await client.create(configMap('watched'))
    const stop = new AbortController()
    const what = { ...configMaps, namespace: cluster.namespace, fieldSelector: 'metadata.name=watched' }
    const seen: string[] = []
    await expect(async () => {
      for await (const event of client.watch(what, { sendInitialEvents: true, signal: stop.signal })) {
        seen.push(event.type)
        if (event.type === 'BOOKMARK' && event.initialEventsEnd)
          await client.patch({ ...configMaps, name: 'watched' }, { data: { a: '1' } }, { type: 'merge' })
        if (event.type === 'MODIFIED') await client.delete({ ...configMaps, name: 'watched' })
        if (event.type === 'DELETED') stop.abort()
      }
    }).rejects.toMatchObject({ code: 'Aborted' })
    expect(seen).toEqual(['ADDED', 'BOOKMARK', 'MODIFIED', 'DELETED'])
  })
})

describe('kinds of a real API server', () => {
  it('are known as soon as their CustomResourceDefinition is there, and unknown when it is gone', async () => {
    const group = `t${randomBytes(4).toString('hex')}.example.dev`
    const crd = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: `things.${group}` }
    const thing = { apiVersion: `${group}/v1`, kind: 'Thing', metadata: { name: 'one' } }
    const ref = { apiVersion: thing.apiVersion, kind: 'Thing', name: 'one' }
    await expect(client.find(ref)).rejects.toMatchObject({ code: 'UnknownKind', transient: true })
    await client.apply({
      apiVersion: crd.apiVersion,
      kind: crd.kind,
      metadata: { name: crd.name },
      spec: {
        group,
        scope: 'Namespaced',
        names: { plural: 'things', singular: 'thing', kind: 'Thing' },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
          },
        ],
      },
    } as KubeObject)
    const retry = { timeout: 30_000, interval: 100 }
    await vi.waitFor(() => client.apply({ ...thing, spec: { a: 1 } } as KubeObject), retry)
    await client.apply({ ...thing, status: { ready: true } } as KubeObject, { subresource: 'status' })
    expect(await client.get(ref)).toMatchObject({ spec: { a: 1 }, status: { ready: true } })
    expect(await client.resource(thing.apiVersion, 'Thing')).toMatchObject({ plural: 'things', namespaced: true, subresources: ['status'] })
    await client.delete(crd)
    await vi.waitFor(
      async () => expect(await client.find(ref).catch((error: unknown) => error)).toMatchObject({ code: 'UnknownKind' }),
      retry,
    )
  })

  it('tell the version of their server', async () => {
    expect((await client.version()).gitVersion).toMatch(/^v1\.\d+/)
  })
})

describe('who is who for a real API server', () => {
  const list = (who: KubeClient) => who.list({ ...configMaps, namespace: cluster.namespace })

  async function connect(config: object): Promise<KubeClient> {
    return new KubeClient({ ...cluster.config, ...config })
  }

  it('a service account is known by its token, and may do what it was granted', async () => {
    const { client, namespace } = cluster
    await client.create({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'robot' } })
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/robot/token`
    const answer = await client.raw('POST', path, { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} } })
    const { token } = (answer as { status: { token: string } }).status
    const robot = await connect({ user: { token } })
    await expect(list(robot)).rejects.toMatchObject({ code: 'Forbidden', message: expect.stringContaining('robot') as string })
    const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'robot' } }
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'robot' }
    await client.apply({ ...rbac, kind: 'Role', rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }] } as KubeObject)
    await client.apply({
      ...rbac,
      kind: 'RoleBinding',
      roleRef,
      subjects: [{ kind: 'ServiceAccount', name: 'robot', namespace }],
    } as KubeObject)
    await vi.waitFor(() => list(robot), { timeout: 10_000 })
    robot.close()
  })

  it('a wrong token is not recognised', async () => {
    const nobody = await connect({ user: { token: 'wrong' } })
    await expect(list(nobody)).rejects.toMatchObject({ code: 'Unauthorized', transient: false })
    nobody.close()
  })

  it('an administrator can act as somebody who may less', async () => {
    const jane = await connect({ impersonate: { user: 'jane', groups: ['system:authenticated', 'dev'] } })
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview', metadata: {} }
    const answer = await jane.raw('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', { body: review })
    expect(answer).toMatchObject({ status: { userInfo: { username: 'jane', groups: ['system:authenticated', 'dev'] } } })
    await expect(list(jane)).rejects.toMatchObject({ code: 'Forbidden' })
    jane.close()
  })

  it('a server whose certificate is not from the given authority is not spoken to', async () => {
    const stranger = await connect({ ca: { pem: await strangerCa() } })
    await expect(stranger.version({ timeoutMs: 5000 })).rejects.toMatchObject({ code: 'Unreachable', transient: false })
    stranger.close()
  })

  it('a server that does not have the expected name is not spoken to', async () => {
    for (const serverName of ['wrong.example', '192.0.2.1']) {
      const misled = await connect({ serverName })
      await expect(misled.version({ timeoutMs: 5000 })).rejects.toMatchObject({ code: 'Unreachable', transient: false })
      misled.close()
    }
  })

  it('is the same through a proxy', async () => {
    const proxy = await openProxy()
    const client = await connect({ proxyUrl: `http://127.0.0.1:${proxy.port}` })
    expect((await client.version()).gitVersion).toMatch(/^v1/)
    expect(proxy.opened).toBe(1)
    client.close()
    await proxy.close()
    await expect(client.version()).rejects.toBeInstanceOf(KubeError)
  })
})

/** Some certificate that did not sign the server's: one of those that Node carries. */
async function strangerCa(): Promise<string> {
  const { rootCertificates } = await import('node:tls')
  const own = cluster.config.ca
  const pem = own && 'file' in own ? await readFile(own.file, 'utf8') : own?.pem
  const stranger = rootCertificates.find((one) => one !== pem)
  if (!stranger) throw new Error('Node carries no certificates')
  return stranger
}
