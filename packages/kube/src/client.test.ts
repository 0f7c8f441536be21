import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ClientOptions } from './call-options.ts'
import { KubeClient } from './client.ts'
import type { ClientConfig } from './config.ts'
import { type Answer, configMap, configMaps, FakeApiServer, listOf, status } from './testing/fake-api-server.ts'
import { ManualClock, until } from './testing/manual-clock.ts'

let api: FakeApiServer
let clock: ManualClock
const clients: KubeClient[] = []

beforeEach(async () => {
  api = await FakeApiServer.start()
  clock = new ManualClock()
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await api.stop()
})

function connect(config: Partial<ClientConfig> = {}, options: ClientOptions = {}): KubeClient {
  const client = new KubeClient({ server: api.url, ...config }, { clock, fieldManager: 'tester', ...options })
  clients.push(client)
  return client
}

const ref = { ...configMaps, name: 'a' }

/** Answers requests for objects one after another, the last answer for ever. */
function answers(...list: readonly Answer[]): void {
  let next = 0
  api.handle = ({ path: where }) => (where === '/api/v1' ? undefined : list[Math.min(next++, list.length - 1)])
}

const objectRequests = () => api.requests.filter(({ path: where }) => where !== '/api/v1')
const found: Answer = { status: 200, body: configMap('a', '1') }
const notFound = status(404, 'NotFound', { details: { name: 'a', kind: 'configmaps' } })

describe('reading', () => {
  it('gets an object from the own namespace, asking only once how its kind is served', async () => {
    answers(found)
    const client = connect({ namespace: 'team' })
    expect((await client.get(ref)).metadata.name).toBe('a')
    await client.get({ ...ref, namespace: 'other' })
    expect(api.requests.map(({ path: where }) => where)).toEqual([
      '/api/v1',
      '/api/v1/namespaces/team/configmaps/a',
      '/api/v1/namespaces/other/configmaps/a',
    ])
  })

  it('finds nothing only where the server says so of the object: no outage reads as absence', async () => {
    const client = connect()
    answers(notFound)
    expect(await client.find(ref)).toBeUndefined()
    for (const [answer, code] of [
      [{ status: 404, body: '404 page not found' }, 'BadResponse'],
      [{ status: 404, body: '<html>' }, 'BadResponse'],
      [status(404, 'NotFound'), 'BadResponse'],
      [{ status: 200, body: '' }, 'BadResponse'],
      [{ status: 200, body: '{"kind":"Stat' }, 'BadResponse'],
      [{ status: 302, body: '', headers: { location: 'http://192.0.2.1/' } }, 'BadResponse'],
      [status(403, 'Forbidden'), 'Forbidden'],
    ] as const) {
      answers(answer)
      await expect(client.find(ref)).rejects.toMatchObject({ code })
    }
  })

  it('says UnknownKind of what the server does not serve, and finds it when it is there', async () => {
    const client = connect()
    const thing = { apiVersion: 'example.dev/v1', kind: 'Thing', name: 'a' }
    await expect(client.get(thing)).rejects.toMatchObject({ code: 'UnknownKind', transient: true })
    const resources = [{ name: 'things', kind: 'Thing', namespaced: false, verbs: [] }]
    api.handle = ({ path: where }) => ({ status: 200, body: where.endsWith('/a') ? configMap('a', '1') : { resources } })
    await clock.advance(1000)
    expect(await client.find(thing)).toBeDefined()
    expect(await client.resource('example.dev/v1', 'Thing')).toMatchObject({ plural: 'things', namespaced: false })
  })

  it('does not take a page that is not found for a kind that is not served', async () => {
    const thing = { apiVersion: 'example.dev/v1', kind: 'Thing', name: 'a' }
    const page = { status: 404, body: '404 page not found' }
    const listed = { status: 200, body: { groups: [{ versions: [{ groupVersion: 'example.dev/v1' }] }] } }
    for (const all of [page, listed, { status: 200, body: {} }, { status: 200, body: 'welcome' }]) {
      const client = connect()
      api.handle = ({ path: where }) => (where === '/apis' ? all : page)
      await expect(client.find(thing)).rejects.toMatchObject({ code: 'BadResponse', transient: true })
    }
    api.handle = () => page
    await expect(connect().find(ref)).rejects.toMatchObject({ code: 'BadResponse', transient: true })
  })

  it('says UnknownKind of a kind that went away after it was discovered', async () => {
    const client = connect()
    answers(found)
    await client.get(ref)
    api.handle = ({ path: where }) =>
      where === '/api/v1' ? { status: 200, body: { resources: [] } } : { status: 404, body: '404 page not found' }
    await expect(client.find(ref)).rejects.toMatchObject({ code: 'UnknownKind' })
  })

  it('lists all pages as one, and fills in what typed lists leave out', async () => {
    const { apiVersion: _, kind: __, ...bare } = configMap('a', '1')
    answers(listOf('7', [bare as never], 'more'), listOf('7', [configMap('b', '2')]))
    const { items, resourceVersion } = await connect().list({ ...configMaps, namespace: 'x', labelSelector: 'a=b' })
    expect(items.map(({ kind, metadata }) => [kind, metadata.name])).toEqual([
      ['ConfigMap', 'a'],
      ['ConfigMap', 'b'],
    ])
    expect(resourceVersion).toBe('7')
    expect(objectRequests().map(({ query }) => query.toString())).toEqual([
      'limit=500&labelSelector=a%3Db',
      'limit=500&continue=more&labelSelector=a%3Db',
    ])
  })

  it('starts a list again when its version is forgotten between pages', async () => {
    answers(listOf('7', [configMap('a', '1')], 'more'), status(410, 'Expired'), listOf('8', [configMap('b', '2')]))
    const { items, resourceVersion } = await connect().list(configMaps)
    expect([items.map(({ metadata }) => metadata.name), resourceVersion]).toEqual([['b'], '8'])
  })
})

describe('writing', () => {
  it('applies with its field manager, without managedFields', async () => {
    answers(found)
    await connect().apply(configMap('a', '1'), { force: true, dryRun: true, subresource: 'status' })
    const [request] = objectRequests()
    expect(request).toMatchObject({ method: 'PATCH', path: '/api/v1/namespaces/default/configmaps/a/status' })
    expect(request?.headers['content-type']).toBe('application/apply-patch+yaml')
    expect(Object.fromEntries(request?.query ?? [])).toEqual({ fieldManager: 'tester', dryRun: 'All', force: 'true' })
    expect(JSON.parse(request?.body ?? '').metadata.managedFields).toBeUndefined()
  })

  it('repeats an apply that raced with another one, but not a conflict over fields', async () => {
    const { metadata: _, ...rest } = configMap('a', '1')
    const object = { ...rest, metadata: { name: 'a' } }
    answers(status(409, 'AlreadyExists'), status(409, 'Conflict'), found)
    await connect().apply(object)
    expect(objectRequests()).toHaveLength(3)
    answers(status(409, 'Conflict', { details: { causes: [{ reason: 'FieldManagerConflict' }] } }))
    await expect(connect().apply(object)).rejects.toMatchObject({ code: 'Conflict', transient: false })
    expect(objectRequests()).toHaveLength(4)
  })

  it('patches in three ways', async () => {
    answers(found)
    for (const type of ['json', 'merge', 'strategic'] as const) await connect().patch(ref, {}, { type })
    expect(objectRequests().map(({ headers }) => headers['content-type'])).toEqual([
      'application/json-patch+json',
      'application/merge-patch+json',
      'application/strategic-merge-patch+json',
    ])
  })

  it('says whether a deleted object is gone or still going', async () => {
    const client = connect()
    answers({ status: 200, body: { kind: 'Status', status: 'Success', details: { name: 'a' } } })
    expect(await client.delete(ref)).toBe('gone')
    answers(notFound)
    expect(await client.delete(ref)).toBe('gone')
    const going = configMap('a', '1')
    answers({ status: 200, body: { ...going, metadata: { ...going.metadata, deletionTimestamp: '2026-01-02T03:04:05Z' } } })
    expect(await client.delete(ref, { uid: 'u', resourceVersion: '5', propagation: 'Foreground' })).toBe('deleting')
    expect(JSON.parse(objectRequests().at(-1)?.body ?? '')).toMatchObject({
      propagationPolicy: 'Foreground',
      preconditions: { uid: 'u', resourceVersion: '5' },
    })
    answers({ status: 404, body: 'gone fishing' })
    await expect(client.delete(ref)).rejects.toMatchObject({ code: 'BadResponse' })
  })
})

describe('trouble', () => {
  it('waits as long as a busy server asks, then repeats, even a create', async () => {
    const answer = status(429, 'TooManyRequests') as Exclude<Answer, string>
    answers({ ...answer, headers: { 'retry-after': '3' } }, found)
    const created = connect().create(configMap('a', '1'))
    await until(() => clock.delays.includes(3000))
    expect(objectRequests()).toHaveLength(1)
    await clock.advance(3000)
    expect((await created).metadata.name).toBe('a')
  })

  it('gives up at once where the server wants more patience than the call has', async () => {
    answers({ status: 503, body: '', headers: { 'retry-after': '60' } })
    await expect(connect().get(ref)).rejects.toMatchObject({ code: 'ServerError', retryAfterMs: 60_000 })
  })

  it('repeats a read after a failure, and a create never', async () => {
    answers('cut', status(500, 'InternalError'), found)
    const read = connect().get(ref)
    await until(() => clock.delays.includes(100))
    await clock.advance(100)
    await until(() => clock.delays.includes(200))
    await clock.advance(200)
    await read
    answers('cut')
    await expect(connect().create(configMap('a', '1'))).rejects.toMatchObject({ code: 'Unreachable', transient: true })
    expect(objectRequests()).toHaveLength(4)
  })

  it('ends after its time, and when its caller wants', async () => {
    answers('silent')
    const late = expect(connect({}, { timeoutMs: 5000 }).get(ref)).rejects.toMatchObject({ code: 'Timeout' })
    await until(() => objectRequests().length === 1)
    await clock.advance(5000)
    await late
    const stop = new AbortController()
    const stopped = expect(connect().get(ref, { signal: stop.signal })).rejects.toMatchObject({ code: 'Aborted', transient: false })
    await until(() => objectRequests().length === 2)
    stop.abort()
    await stopped
    expect(clock.delays).toEqual([])
  })

  it('says Unreachable where nobody listens', async () => {
    const client = connect()
    await api.stop()
    const version = expect(client.create(configMap('a', '1'))).rejects.toMatchObject({ code: 'Unreachable' })
    for (let wait = 100; wait <= 400; wait *= 2) {
      await until(() => clock.delays.includes(wait))
      await clock.advance(wait)
    }
    await version
    api = await FakeApiServer.start()
  })

  it('is of no use once it is closed', async () => {
    const client = connect()
    client.close()
    await expect(client.version()).rejects.toMatchObject({ code: 'Aborted' })
  })
})

describe('identity', () => {
  it('shows its token, reads a renewed one after a 401, and says so if that does not help', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'token-'))
    const tokenFile = path.join(directory, 'token')
    await writeFile(tokenFile, 'old')
    const client = connect({ user: { tokenFile } }, { userAgent: 'muster-test' })
    api.handle = ({ headers }) =>
      headers.authorization === 'Bearer new' ? { status: 200, body: { gitVersion: 'v1' } } : status(401, 'Unauthorized')
    await expect(client.version()).rejects.toMatchObject({ code: 'Unauthorized' })
    await writeFile(tokenFile, 'new')
    expect(await client.version()).toEqual({ gitVersion: 'v1' })
    expect(api.requests.at(-1)?.headers['user-agent']).toBe('muster-test')
    await rm(directory, { recursive: true })
  })

  it('acts as somebody else', async () => {
    answers(found)
    await connect({ impersonate: { user: 'jane', groups: ['a', 'b'], uid: '1', extra: { 'Acme.com/Why': ['test'] } } }).get(ref)
    expect(objectRequests()[0]?.headers).toMatchObject({
      'impersonate-user': 'jane',
      'impersonate-uid': '1',
      'impersonate-group': 'a, b',
      'impersonate-extra-acme.com%2fwhy': 'test',
    })
  })

  it('acts as somebody else for one call, and as itself for the next', async () => {
    answers(found)
    const client = connect({})
    await client.get(ref, { as: { user: 'system:serviceaccount:a:b', groups: ['system:authenticated'] } })
    await client.get(ref)
    const [first, second] = objectRequests()
    expect(first?.headers).toMatchObject({ 'impersonate-user': 'system:serviceaccount:a:b', 'impersonate-group': 'system:authenticated' })
    expect(second?.headers['impersonate-user']).toBeUndefined()
  })

  it('sends no credential over a network unencrypted', () => {
    const make = () => new KubeClient({ server: 'http://192.0.2.1', user: { token: 's3cret' } })
    expect(make).toThrow(expect.objectContaining({ code: 'Config', message: expect.not.stringContaining('s3cret') as string }))
  })
})
