import type { KubeClient, KubeObject, Selection } from '@muster/kube'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { observe, Watches } from './watches.ts'

const kind = { apiVersion: 'v1', kind: 'ConfigMap' }
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const stored: KubeObject[] = ['shop', 'bank'].map((namespace) => ({ ...kind, metadata: { name: 'settings', namespace, uid: namespace } }))

let asked: Selection[]
let watches: Watches
let rules: string
let stop: AbortController
let running: Promise<void>

/** A server that holds the stored objects and gives those that are asked for. */
const client = {
  async *watch(what: Selection, { signal }: { signal: AbortSignal }) {
    asked.push(what)
    const wanted = stored.filter(({ metadata }) => what.namespace === undefined || metadata.namespace === what.namespace)
    for (const object of wanted) yield { type: 'ADDED', object }
    yield { type: 'BOOKMARK', resourceVersion: '1', initialEventsEnd: true }
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  },
} as unknown as KubeClient

beforeEach(() => {
  asked = []
  stop = new AbortController()
  rules = 'first'
  const judge = () => ({ state: 'Unknown', reason: rules, message: '' }) as const
  watches = new Watches(client, () => {}, { judge, rulesOf: () => rules }, silent)
  running = watches.run(stop.signal)
})

afterEach(async () => {
  stop.abort()
  await running
})

const seen = (namespace: string) => watches.get({ ...kind, name: 'settings', namespace })

describe('what is watched', () => {
  it('is all of a kind, in every namespace, whichever object it became known by', async () => {
    // Two entries of inventories, as after a restart.
    watches.ensure(['shop', 'bank'].map((namespace) => ({ ...kind, name: 'settings', namespace })))
    await vi.waitFor(() => expect(seen('bank')).toMatchObject({ uid: 'bank' }))
    expect(seen('shop')).toMatchObject({ uid: 'shop' })
    expect(asked.filter((what) => what.kind === kind.kind)).toEqual([
      expect.objectContaining({ ...kind, labelSelector: 'muster.dev/release', namespace: undefined }),
    ])
  })

  it('is every namespace, also those of nobody: whether one is there is asked before each first apply', async () => {
    watches.ensure([kind])
    await vi.waitFor(() => expect(watches.sighting({ apiVersion: 'v1', kind: 'Namespace', name: 'elsewhere' })).toBeUndefined())
    expect(asked).toContainEqual(expect.objectContaining({ kind: 'Namespace', labelSelector: undefined }))
    // Of other kinds that hold data it sees those of releases only, and so cannot say that there is none.
    expect(watches.sighting({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'shop', name: 'data' })).toBe('unknown')
  })

  it('is judged anew when the rules for its kind are others', async () => {
    watches.ensure([kind])
    await vi.waitFor(() => expect(seen('shop')).toMatchObject({ health: { reason: 'first' } }))
    watches.ensure([kind])
    const ofKind = () => asked.filter((what) => what.kind === kind.kind)
    expect(ofKind()).toHaveLength(1)
    rules = 'second'
    watches.ensure([kind])
    expect(seen('shop')).toBe('unknown')
    await vi.waitFor(() => expect(seen('shop')).toMatchObject({ health: { reason: 'second' } }))
    expect(ofKind()).toHaveLength(2)
  })

  it('ends with the last release that holds something of its kind', async () => {
    watches.ensure([kind])
    await vi.waitFor(() => expect(seen('shop')).toMatchObject({ uid: 'shop' }))
    watches.ensure([])
    expect(seen('shop')).toBe('unknown')
  })
})

describe('pain 8, controllers eat memory', () => {
  it('does not come about by large objects: what is kept of one is the same few bytes, however large it is', () => {
    const judge = () => ({ state: 'Healthy', reason: 'Exists', message: '' }) as const
    const object = (bytes: number): KubeObject => ({
      ...kind,
      metadata: {
        name: 'settings',
        namespace: 'shop',
        uid: '00000000-0000-0000-0000-000000000000',
        labels: { 'muster.dev/release': 'shop' },
        annotations: { note: 'x'.repeat(bytes) },
        managedFields: [
          {
            manager: 'muster-agent',
            operation: 'Apply',
            fieldsType: 'FieldsV1',
            fieldsV1: { 'f:data': Object.fromEntries(Array.from({ length: bytes / 1_000 }, (_, at) => [`f:${at}`, {}])) },
          },
        ],
      },
      data: { value: 'x'.repeat(bytes) },
    })
    const [small, large] = [1_000, 1_000_000].map((bytes) => JSON.stringify(observe(object(bytes), judge)).length)
    expect(large).toBe(small)
    expect(large).toBeLessThan(500)
  })
})
