import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KubeClient } from './client.ts'
import { KubeError } from './error.ts'
import { Informer, type InformerClient } from './informer.ts'
import type { KubeObject } from './object.ts'
import { openCluster, type TestCluster } from './testing/cluster.ts'
import { openGate } from './testing/gate.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await openCluster()
})

afterAll(() => cluster.dispose())

const configMaps = { apiVersion: 'v1', kind: 'ConfigMap' }
const configMap = (name: string, label: string, value = ''): KubeObject => ({
  ...configMaps,
  metadata: { name, labels: { test: label } },
  data: { value },
})

describe('an informer on a real API server', () => {
  it('shows what there is and what happens, including what leaves the selection', async () => {
    const { client, namespace } = cluster
    await client.create(configMap('a', 'live'))
    const errors: unknown[] = []
    const informer = new Informer(client, { ...configMaps, namespace, labelSelector: 'test=live', onError: (error) => errors.push(error) })
    const events: string[] = []
    informer.onChange(({ type, key }) => events.push(`${type} ${key.split('/')[1]}`))
    const stop = new AbortController()
    const running = informer.run(stop.signal)
    await informer.whenSynced(AbortSignal.timeout(10_000))
    expect(informer.list().map(({ metadata }) => [metadata.name, metadata.managedFields])).toEqual([['a', undefined]])
    await client.create(configMap('b', 'live'))
    await client.apply(configMap('a', 'live', 'x'), { force: true })
    await client.patch({ ...configMaps, name: 'b' }, { metadata: { labels: { test: 'other' } } }, { type: 'merge' })
    await client.delete({ ...configMaps, name: 'a' })
    await vi.waitFor(() => expect(events).toHaveLength(5), { timeout: 10_000 })
    expect(events).toEqual(['added a', 'added b', 'modified a', 'deleted b', 'deleted a'])
    expect([informer.size, errors]).toEqual([0, []])
    expect(informer.lastActivityMs).toBeLessThan(10_000)
    stop.abort()
    await running
  })

  it('keeps what it knows while the server is away, and misses nothing when it is back', async () => {
    const { client, config, namespace } = cluster
    const gate = await openGate(new URL(config.server))
    const name = config.serverName ?? new URL(config.server).hostname
    const far = new KubeClient({ ...config, server: `https://127.0.0.1:${gate.port}`, serverName: name })
    for (const one of ['a', 'b', 'c']) await client.apply(configMap(`cut-${one}`, 'cut'))
    const informer = new Informer(far, {
      ...configMaps,
      namespace,
      labelSelector: 'test=cut',
      project: (object) => (object['data'] as { value: string }).value,
    })
    const events: string[] = []
    informer.onChange(({ type, key, initial }) => initial || events.push(`${type} ${key.split('/')[1]}`))
    const stop = new AbortController()
    const running = informer.run(stop.signal)
    await informer.whenSynced(AbortSignal.timeout(10_000))
    gate.shut()
    await client.delete({ ...configMaps, name: 'cut-a' })
    await client.apply(configMap('cut-b', 'cut', 'new'))
    await client.apply(configMap('cut-d', 'cut'))
    const tried = gate.opened
    await vi.waitFor(() => expect(gate.opened).toBeGreaterThan(tried + 1), { timeout: 10_000 })
    expect([informer.size, informer.synced, events]).toEqual([3, true, []])
    gate.open()
    await vi.waitFor(() => expect(events).toHaveLength(3), { timeout: 30_000 })
    expect([events, informer.get(`${namespace}/cut-b`)]).toEqual([['deleted cut-a', 'modified cut-b', 'added cut-d'], 'new'])
    stop.abort()
    await running
    far.close()
    await gate.close()
  })

  it('lists in pages where it must not stream', async () => {
    const { client, namespace } = cluster
    for (let index = 0; index < 7; index += 1) await client.create(configMap(`paged-${index}`, 'paged'))
    const old: InformerClient = {
      pages: (what, options) => client.pages(what, { ...options, limit: 3 }),
      async *watch(what, options) {
        // as a server without WatchList answers
        if (options?.sendInitialEvents) throw new KubeError('Invalid', 'sendInitialEvents is forbidden', { status: 422 })
        yield* client.watch(what, options)
      },
    }
    const informer = new Informer(old, { ...configMaps, namespace, labelSelector: 'test=paged' })
    const stop = new AbortController()
    const running = informer.run(stop.signal)
    await informer.whenSynced(AbortSignal.timeout(10_000))
    expect(informer.size).toBe(7)
    await client.create(configMap('paged-new', 'paged'))
    await vi.waitFor(() => expect(informer.size).toBe(8), { timeout: 10_000 })
    stop.abort()
    await running
  })
})
