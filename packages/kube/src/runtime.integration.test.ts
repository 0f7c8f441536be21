import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Controller } from './controller.ts'
import { EventRecorder } from './event-recorder.ts'
import { Informer } from './informer.ts'
import { LeaderElector } from './leader-election.ts'
import { Manager } from './manager.ts'
import { type KubeObject, parseKey } from './object.ts'
import { openCluster, type TestCluster } from './testing/cluster.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await openCluster()
})

afterAll(() => cluster.dispose())

const configMaps = { apiVersion: 'v1', kind: 'ConfigMap' }
const wait = { timeout: 20_000, interval: 50 }

/** A process with one controller: it keeps a copy of each ConfigMap that asks for one, and tells so. */
function copier(identity: string) {
  const { client, namespace } = cluster
  const errors: unknown[] = []
  const onError = (error: unknown) => void errors.push(error)
  const sources = new Informer(client, { ...configMaps, namespace, labelSelector: 'copy=yes', onError })
  const copies = new Informer(client, { ...configMaps, namespace, labelSelector: 'copy-of', onError })
  const recorder = new EventRecorder(client, { controller: 'muster.dev/test', instance: identity, onError })
  const controller = new Controller({
    name: 'copier',
    onError,
    reconcile: async (key, signal) => {
      const source = sources.get(key)
      const { name } = parseKey(key)
      if (!source) return
      const metadata = { name: `${name}-copy`, namespace, labels: { 'copy-of': name } }
      await client.apply({ ...configMaps, metadata, data: source['data'] } as KubeObject, { fieldManager: 'copier', force: true, signal })
      recorder.event(source, { type: 'Normal', reason: 'Copied', note: `by ${identity}`, action: 'Copy' })
    },
  })
  controller.watches(sources).watches(copies, ({ object }) => `${namespace}/${object.metadata.labels?.['copy-of']}`)
  const leaderElector = new LeaderElector(client, {
    name: 'copier',
    namespace,
    identity,
    leaseMs: 3000,
    renewMs: 2000,
    retryMs: 200,
    onError,
  })
  const manager = new Manager({ leaderElector }).add(controller).add(sources).add(copies).add(recorder, { needsLeader: false })
  const stop = new AbortController()
  return { leaderElector, errors, stop, ended: manager.run(stop.signal) }
}

describe('controllers on a real API server', () => {
  it('one of two leads and does the work; when it stops, the other one goes on', async () => {
    const { client, namespace } = cluster
    const source = { ...configMaps, metadata: { name: 'source', namespace, labels: { copy: 'yes' } }, data: { a: '1' } }
    await client.create(source as KubeObject)
    const one = copier('one')
    await vi.waitFor(() => expect(one.leaderElector.leading).toBe(true), wait)
    const two = copier('two')
    const copy = { ...configMaps, name: 'source-copy' }
    await vi.waitFor(async () => expect((await client.get(copy))['data']).toEqual({ a: '1' }), wait)
    // drift is corrected
    await client.patch(copy, { data: { a: 'by hand' } }, { type: 'merge' })
    await vi.waitFor(async () => expect((await client.get(copy))['data']).toEqual({ a: '1' }), wait)
    expect(two.leaderElector.leading).toBe(false)
    one.stop.abort()
    await one.ended
    await vi.waitFor(() => expect(two.leaderElector.leading).toBe(true), wait)
    await client.delete(copy)
    await vi.waitFor(async () => expect((await client.get(copy))['data']).toEqual({ a: '1' }), wait)
    two.stop.abort()
    await two.ended
    expect([...one.errors, ...two.errors]).toEqual([])
    const { items } = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace })
    expect(items.map((event) => event['note']).sort()).toEqual(['by one', 'by two'])
    expect(items.find((event) => event['note'] === 'by one')?.['series']).toMatchObject({ count: expect.any(Number) as number })
  })
})
