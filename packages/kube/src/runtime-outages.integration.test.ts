import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { FaultyProxy } from '../../../test/environment/faulty-proxy.ts'
import { KubeClient } from './client.ts'
import { Controller } from './controller.ts'
import { Informer } from './informer.ts'
import { LeaderElector } from './leader-election.ts'
import { Manager } from './manager.ts'
import { type OwnServer, openOwnServer } from './testing/own-server.ts'

const wait = { timeout: 60_000, interval: 20 }
const configMaps = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default' }

let server: OwnServer

beforeAll(async () => {
  server = await openOwnServer()
})

afterAll(() => server?.dispose())

/** One of several instances of a process: its own way to the server, and a worker that says when it works. */
async function instance(identity: string, lease: string, log: string[]) {
  const { proxy, config } = await server.faulty()
  const client = new KubeClient(config)
  const elector = new LeaderElector(client, { name: lease, namespace: 'default', identity, leaseMs: 4000, renewMs: 2500, retryMs: 250 })
  const worker = {
    name: 'worker',
    async run(signal: AbortSignal) {
      log.push(`${identity} starts`)
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      log.push(`${identity} ends`)
    },
  }
  const stop = new AbortController()
  const ended = new Manager({ leaderElector: elector }).add(worker).run(stop.signal)
  return {
    proxy,
    elector,
    stop,
    /** What `run` threw. */
    outcome: ended.then(
      () => undefined,
      (error: unknown) => error,
    ),
    async close() {
      stop.abort()
      await ended.catch(() => {})
      client.close()
      await proxy.close()
    },
  }
}

function isolate(proxy: FaultyProxy): void {
  proxy.fault = () => 'cut'
}

describe('leaders on a real API server', () => {
  it('a leader that is cut off stops its work before another one starts', async () => {
    const log: string[] = []
    const one = await instance('one', 'cut-off', log)
    await vi.waitFor(() => expect(one.elector.leading).toBe(true), wait)
    const two = await instance('two', 'cut-off', log)
    await vi.waitFor(() => expect(two.elector.leader).toBe('one'), wait)
    isolate(one.proxy)
    await vi.waitFor(() => expect(log).toContain('two starts'), wait)
    expect(log).toEqual(['one starts', 'one ends', 'two starts'])
    expect(await one.outcome).toMatchObject({ code: 'LeaderLost', transient: true })
    await one.close()
    await two.close()
  })

  it('when the server goes away nobody leads for long; when it is back exactly one does', async () => {
    const log: string[] = []
    const one = await instance('one', 'away', log)
    await vi.waitFor(() => expect(one.elector.leading).toBe(true), wait)
    await server.stop('SIGKILL')
    const error = await one.outcome
    expect([error, log]).toEqual([expect.objectContaining({ code: 'LeaderLost' }), ['one starts', 'one ends']])
    // as a process that was started again stands for election before the server is back
    const next = [await instance('three', 'away', log), await instance('four', 'away', log)]
    await server.start()
    await vi.waitFor(() => expect(next.filter(({ elector }) => elector.leading)).toHaveLength(1), wait)
    await vi.waitFor(() => expect(log).toHaveLength(3), wait)
    await Promise.all([one, ...next].map((each) => each.close()))
    // the second one leads only after the first has given the lease back, if at all
    const [first = '', ...rest] = log.slice(2).map((line) => line.split(' ')[0] ?? '')
    expect(rest.filter((who) => who === first)).toHaveLength(1)
    expect(rest[0]).toBe(first)
  })

  it('a short outage costs no leader', async () => {
    const log: string[] = []
    const one = await instance('one', 'short', log)
    await vi.waitFor(() => expect(log).toEqual(['one starts']), wait)
    let refused = 0
    one.proxy.fault = () => {
      refused += 1
      return { status: 500 }
    }
    await vi.waitFor(() => expect(refused).toBeGreaterThan(1), wait)
    one.proxy.fault = () => undefined
    const seen = one.proxy.requests.filter(({ method }) => method === 'PUT').length
    await vi.waitFor(() => expect(one.proxy.requests.filter(({ method }) => method === 'PUT').length).toBeGreaterThan(seen + 1), wait)
    expect([one.elector.leading, log]).toEqual([true, ['one starts']])
    await one.close()
  })
})

describe('a process on a real API server', () => {
  it('stops within 30 seconds while requests hang and changes come in, and gives its lease back', async () => {
    const { proxy, config } = await server.faulty()
    const client = new KubeClient(config)
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name: 'graceful', namespace: 'default' }
    const elector = new LeaderElector(client, { name: 'graceful', namespace: 'default', identity: 'one' })
    const informer = new Informer(client, { ...configMaps, labelSelector: 'graceful' })
    const controller = new Controller({
      name: 'hanging',
      concurrency: 2,
      // the answer never comes
      reconcile: async (_, signal) =>
        void (await client.get({ apiVersion: 'v1', kind: 'Secret', name: 'x', namespace: 'default' }, { signal })),
    })
    const manager = new Manager({ leaderElector: elector }).add(informer).add(controller.watches(informer))
    const stop = new AbortController()
    const ended = manager.run(stop.signal)
    proxy.fault = ({ path }) => (path.includes('/secrets/') ? 'stall' : undefined)
    for (let index = 0; index < 5; index += 1)
      await server.client.create({ ...configMaps, metadata: { name: `graceful-${index}`, namespace: 'default', labels: { graceful: '' } } })
    await vi.waitFor(() => expect(controller.stats.active).toBe(2), wait)
    const started = performance.now()
    stop.abort()
    await ended
    expect(performance.now() - started).toBeLessThan(30_000)
    expect(controller.stats.active).toBe(0)
    expect((await server.client.get(lease))['spec']).not.toHaveProperty('holderIdentity')
    await vi.waitFor(() => expect(proxy.watches).toEqual([]), wait)
    client.close()
    await proxy.close()
  })
})
