import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { FaultyProxy } from '../../../test/environment/faulty-proxy.ts'
import { KubeClient } from './client.ts'
import { Controller } from './controller.ts'
import { isKubeError, type KubeErrorCode } from './error.ts'
import { Informer, type InformerOptions } from './informer.ts'
import type { KubeObject } from './object.ts'
import { type OwnServer, openOwnServer } from './testing/own-server.ts'

const wait = { timeout: 60_000, interval: 50 }
const configMaps = { apiVersion: 'v1', kind: 'ConfigMap' }

let server: OwnServer
let proxy: FaultyProxy
let far: KubeClient
let namespace: string
let stop: AbortController
let ended: Promise<void>[]

beforeAll(async () => {
  server = await openOwnServer()
  const faulty = await server.faulty()
  proxy = faulty.proxy
  far = new KubeClient(faulty.config)
})

afterAll(async () => {
  far?.close()
  await proxy?.close()
  await server?.dispose()
})

beforeEach(async () => {
  namespace = `kube-test-${randomBytes(4).toString('hex')}`
  await server.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  stop = new AbortController()
  ended = []
})

afterEach(async () => {
  proxy.fault = () => undefined
  stop.abort()
  await Promise.all(ended)
})

const configMap = (name: string, value = ''): KubeObject => ({ ...configMaps, metadata: { name, namespace }, data: { value } })
const dataOf = (object: KubeObject) => (object['data'] as { value: string }).value

/** Makes many, as fast as one client may. */
async function make(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `item-${index}`)
  await inParallel(names, (name) => server.client.create(configMap(name, '0')))
  return names
}

/** Works through all, some at once, so that none waits for its turn longer than a request may take. */
async function inParallel<T>(all: readonly T[], work: (one: T, index: number) => Promise<unknown>): Promise<void> {
  const entries = all.entries()
  const worker = async () => {
    for (const [index, one] of entries) await work(one, index)
  }
  await Promise.all(Array.from({ length: 32 }, worker))
}

/** An informer of names and values, behind the proxy, with all that it told. */
function follow(options: Partial<InformerOptions<string>> = {}) {
  const codes: (KubeErrorCode | 'other')[] = []
  const events: string[] = []
  const onError = (error: unknown) => void codes.push(isKubeError(error) ? error.code : 'other')
  const informer = new Informer(far, { ...configMaps, namespace, project: dataOf, onError, ...options })
  informer.onChange(({ type, key, initial }) => initial || events.push(`${type} ${key.split('/')[1]}`))
  ended.push(informer.run(stop.signal))
  return { informer, codes, events, synced: () => informer.whenSynced(AbortSignal.timeout(60_000)) }
}

/** What the server has now, straight from it. */
async function truth(): Promise<Map<string, string>> {
  const { items } = await server.client.list({ ...configMaps, namespace })
  return new Map(items.map((object) => [`${namespace}/${object.metadata.name}`, dataOf(object)]))
}

/** Waits until the view is what the server has. */
async function untilEqual(informer: Informer<string>): Promise<void> {
  const expected = await truth()
  await vi.waitFor(() => expect(new Map(informer.entries())).toEqual(expected), wait)
}

describe('a view of 10,000 objects of a real API server', () => {
  it('is complete by a stream and by pages, and loses nothing in a storm of 5,000 changes with a cut in between', async () => {
    const names = await make(10_000)
    expect((await far.list({ ...configMaps, namespace })).items).toHaveLength(10_000)
    const { informer, codes, synced } = follow()
    const limit = 1000
    let most = 0
    const reconciled = new Map<string, string | undefined>()
    const controller = new Controller({
      name: 'storm',
      limit,
      concurrency: 4,
      reconcile: async (key) => void reconciled.set(key, informer.get(key)),
    })
    controller.watches(informer)
    informer.onChange(() => {
      most = Math.max(most, controller.stats.waiting + controller.stats.delayed)
    })
    ended.push(controller.run(stop.signal))
    await synced()
    expect(informer.size).toBe(10_000)
    // 4,000 writes, 500 deletions, 500 new ones
    const { client } = server
    await inParallel(names.slice(0, 5000), async (name, index) => {
      if (index === 2500) for (const watch of proxy.watches) watch.cut()
      if (index % 10 === 0) await client.delete({ ...configMaps, name, namespace })
      else if (index % 10 === 1) await client.create(configMap(`new-${index}`, '1'))
      else await client.replace(configMap(name, String(index)))
    })
    await untilEqual(informer)
    expect([informer.size, codes.every((code) => code === 'Unreachable' || code === 'Gone')]).toEqual([10_000, true])
    // the queue was full more than once, and yet each key was worked on in its last state
    const last = new Map(informer.entries())
    await vi.waitFor(() => {
      const stale = [...last].filter(([key, value]) => reconciled.get(key) !== value)
      expect(stale).toEqual([])
    }, wait)
    expect(most).toBeLessThanOrEqual(limit)
    expect(most).toBeGreaterThan(limit / 2)
    // 15,000 writes: seconds on a machine of its own, minutes on a crowded one
  }, 300_000)
})

describe('a view behind a bad network', () => {
  it('does not believe one half of an event, and takes it whole from the next watch', async () => {
    await make(3)
    const { informer, codes, events, synced } = follow()
    await synced()
    for (const watch of proxy.watches) watch.cutWithinNextEvent()
    await server.client.apply(configMap('item-1', 'x'.repeat(2000)), { force: true })
    await vi.waitFor(() => expect(informer.get(`${namespace}/item-1`)).toHaveLength(2000), wait)
    expect([events, codes]).toEqual([['modified item-1'], ['Unreachable']])
  })

  it('starts anew when its first fill is cut, and shows nothing half', async () => {
    await make(200)
    let cuts = 0
    proxy.fault = ({ watch }) => {
      if (watch && cuts < 2) {
        cuts += 1
        // the watch is there as soon as the server answers
        void vi.waitFor(() => expect(proxy.watches).not.toEqual([]), { interval: 1 }).then(() => proxy.watches[0]?.cutWithinNextEvent())
      }
      return undefined
    }
    const { informer, synced } = follow()
    const sizes = new Set<number>()
    informer.onChange(() => sizes.add(informer.size))
    await synced()
    expect([informer.size, [...sizes]]).toEqual([200, [200]])
  })

  it('notices a connection that is dead without a word, and misses nothing of what it kept to itself', async () => {
    await make(3)
    const { informer, codes, synced } = follow({ silenceMs: 1000 })
    await synced()
    for (const watch of proxy.watches) watch.stall()
    await server.client.delete({ ...configMaps, name: 'item-0', namespace })
    await server.client.apply(configMap('item-1', 'new'), { force: true })
    await untilEqual(informer)
    expect(new Set(codes)).toEqual(new Set(['Silent']))
  })

  it('waits as long as a busy server asks, gets over errors, cuts and delays, and keeps what it knows meanwhile', async () => {
    await make(3)
    const { informer, codes, events, synced } = follow()
    await synced()
    const faults = [
      { status: 429, headers: { 'retry-after': '1' }, body: 'too many' },
      { status: 500, body: '{"kind":"Status","status":"Failure","code":500,"message":"etcdserver: no leader"}' },
      { status: 503, body: 'apiserver is shutting down' },
      'cut' as const,
    ]
    const times: number[] = []
    proxy.fault = async ({ watch }) => {
      if (!watch) return undefined
      times.push(performance.now())
      const fault = faults.shift()
      // late answers are answers too
      if (!fault) await new Promise((resolve) => setTimeout(resolve, 500))
      return fault
    }
    for (const watch of proxy.watches) watch.cut()
    await server.client.delete({ ...configMaps, name: 'item-0', namespace })
    await server.client.create(configMap('later'))
    await untilEqual(informer)
    expect(events).toEqual(['deleted item-0', 'added later'])
    expect(codes).toEqual(['Unreachable', 'TooManyRequests', 'ServerError', 'ServerError', 'Unreachable'])
    const [first = 0, second = 0] = times
    expect(second - first).toBeGreaterThan(950)
  })

  it('answers its callers through the same: a read is repeated, what hangs ends in time', async () => {
    await make(1)
    const ref = { ...configMaps, name: 'item-0', namespace }
    const faults = [{ status: 429, headers: { 'retry-after': '1' } }, { status: 500 }, 'cut' as const]
    proxy.fault = () => faults.shift()
    expect(dataOf(await far.get(ref))).toBe('0')
    proxy.fault = () => 'stall'
    await expect(far.get(ref, { timeoutMs: 300 })).rejects.toMatchObject({ code: 'Timeout', transient: true })
  })
})

describe('a view of a real API server that goes away', () => {
  it('goes on after a crash, reads all anew where its version is too old (410), and tells each change once', async () => {
    await make(5)
    const { informer, codes, events, synced } = follow()
    await synced()
    // nothing comes through while the world changes
    proxy.fault = () => 'cut'
    for (const watch of proxy.watches) watch.cut()
    await server.client.delete({ ...configMaps, name: 'item-0', namespace })
    await server.client.apply(configMap('item-1', 'new'), { force: true })
    await server.client.create(configMap('later'))
    await server.stop('SIGKILL')
    await server.compact()
    await server.start()
    expect([informer.size, informer.synced, events]).toEqual([5, true, []])
    proxy.fault = () => undefined
    await untilEqual(informer)
    expect(events.sort()).toEqual(['added later', 'deleted item-0', 'modified item-1'])
    expect(codes).toContain('Gone')
  })

  it('has all that was written before, between and after kills of its etcd', async () => {
    const { informer, synced } = follow()
    await synced()
    // Another view that begins in the middle of it.
    const late = []
    const { client } = server
    for (let round = 0; round < 5; round += 1) {
      let writing = true
      const names = Array.from({ length: 4 }, (_, index) => `item-${round}-${index}`)
      const writers = names.map(async (name) => {
        for (let value = 0; writing; value += 1) {
          // What etcd was killed over may have happened or not: the server's own list decides.
          await client.apply(configMap(name, String(value)), { force: true, timeoutMs: 5000 }).catch(() => undefined)
          if (value % 7 === 6) await client.delete({ ...configMaps, name, namespace }, { timeoutMs: 5000 }).catch(() => undefined)
        }
      })
      await vi.waitFor(() => expect([...informer.entries()].some(([key]) => key.includes(`item-${round}-`))).toBe(true), wait)
      late.push(follow().informer)
      await server.crashEtcd()
      await client.apply(configMap(`after-${round}`), { force: true })
      writing = false
      await Promise.all(writers)
    }
    for (const view of [informer, ...late]) await untilEqual(view)
  }, 300_000)

  it('says Gone of a version that was compacted away, to a watch and to the pages of a list, and lists from the start by itself', async () => {
    await make(5)
    const what = { ...configMaps, namespace }
    const { resourceVersion } = await server.client.list(what)
    const pages = server.client.pages(what, { limit: 2 })
    await pages.next()
    const renew = async () => {
      await server.client.apply(configMap('item-1', randomBytes(4).toString('hex')), { force: true })
      await server.stop()
      await server.compact()
      await server.start()
    }
    await renew()
    await expect(pages.next()).rejects.toMatchObject({ code: 'Gone', transient: true })
    await expect(server.client.watch(what, { resourceVersion }).next()).rejects.toMatchObject({ code: 'Gone', transient: true })
    let renewed = false
    proxy.fault = async ({ path }) => {
      if (!renewed && path.includes('continue=')) {
        renewed = true
        await renew()
      }
      return undefined
    }
    expect((await far.list(what, { limit: 2, timeoutMs: 60_000 })).items).toHaveLength(5)
    expect(renewed).toBe(true)
  })
})
