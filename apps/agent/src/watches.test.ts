import type { KubeClient, KubeObject, Selection } from '@muster/kube'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Watches } from './watches.ts'

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
