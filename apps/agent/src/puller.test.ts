import { type ContentSource, OciError } from '@muster/oci'
import { type ChannelContent, createRoot, generateKeyPair, signChannel } from '@muster/trust'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'
import { type AcceptedChannel, Puller } from './puller.ts'
import type { ChannelState } from './state.ts'
import { channelSource } from './testing/channel-source.ts'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const rootKey = generateKeyPair()
const channelKey = generateKeyPair()
const publisher = generateKeyPair()
const start = new Date('2026-01-01T00:00:00Z')
const never = new AbortController().signal

const root = Buffer.from(
  createRoot({
    rootKeys: [rootKey],
    rootThreshold: 1,
    channelKeys: [channelKey],
    channelThreshold: 1,
    expires: '2027-01-01T00:00:00Z',
    version: 1,
  }),
).toString('utf8')

function signed(more: Partial<ChannelContent> = {}, key = channelKey): Uint8Array {
  const content: ChannelContent = {
    cluster: 'alpha',
    generation: 1,
    issuedAt: start.toISOString(),
    expiresAt: '2026-01-02T00:00:00Z',
    releases: [{ name: 'shop', bundle: { repository: 'bundles/shop', version: '1.0.0', digest: `sha256:${'a'.repeat(64)}`, size: 10 } }],
    publishers: [{ name: 'publisher', publicKey: publisher.publicKey }],
    prune: { maxShare: 0.5 },
    ...more,
  }
  return signChannel(content, [key.privateKey])
}

let now: Date
let saved: ChannelState[]
let accepted: AcceptedChannel[]
let source: ContentSource
let told: number
let expiries: number
let failSaving: boolean

const clock: Clock = { now: () => now, monotonicMs: () => 0, random: () => 0.5, sleep: async () => {} }

function puller(state: ChannelState = { generation: 0, root }, deadlineMs = 120_000): Puller {
  return new Puller({
    cluster: 'alpha',
    source: () => source,
    store: {
      save: async (one) => {
        if (failSaving) throw new Error('the API server is away')
        saved.push(one)
      },
    },
    state,
    intervalMs: 1_000,
    deadlineMs,
    clock,
    logger: quiet,
    accepted: (channel) => {
      // What is told was stored before.
      expect(saved.at(-1)?.generation ?? state.generation).toBe(channel.content.generation)
      accepted.push(channel)
    },
    troubled: () => {
      told += 1
    },
    expired: () => {
      expiries += 1
    },
  })
}

beforeEach(() => {
  now = start
  saved = []
  accepted = []
  told = 0
  expiries = 0
  failSaving = false
  source = channelSource(root, signed())
})

describe('a channel', () => {
  it('is stored before it is acted on, and asked for only once while it stays the same', async () => {
    const one = puller()
    await one.pullOnce(never)
    await one.pullOnce(never)
    expect(accepted).toHaveLength(1)
    expect(saved).toHaveLength(1)
    expect(one.generation).toBe(1)
    expect(one.trouble).toBeUndefined()
  })

  it('is not acted on when it cannot be stored', async () => {
    failSaving = true
    const one = puller()
    await one.pullOnce(never)
    expect(accepted).toEqual([])
    expect(one.generation).toBe(0)
    failSaving = false
    await one.pullOnce(never)
    expect(one.generation).toBe(1)
  })

  it.each([
    ['an older generation', 'ChannelRollback', () => signed({ generation: 2 })],
    ['another cluster’s', 'ChannelWrongCluster', () => signed({ cluster: 'bravo', generation: 4 })],
    ['another key’s', 'ChannelSignature', () => signed({ generation: 4 }, generateKeyPair())],
    ['an expired one', 'ChannelExpired', () => signed({ generation: 4, expiresAt: '2025-12-31T00:00:00Z' })],
    ['no channel at all', 'ChannelMalformed', () => Buffer.from('{}')],
  ])('that is %s is refused as %s, and the old one stays', async (_title, reason, bytes) => {
    source = channelSource(root, signed({ generation: 3 }))
    const one = puller()
    await one.pullOnce(never)
    source = channelSource(root, bytes())
    await one.pullOnce(never)
    await one.pullOnce(never)
    expect(one.trouble).toMatchObject({ reason, since: start.toISOString() })
    expect(one.current?.content.generation).toBe(3)
    expect(accepted).toHaveLength(1)
    expect(told).toBe(1)
    source = channelSource(root, signed({ generation: 5 }))
    await one.pullOnce(never)
    expect(one.trouble).toBeUndefined()
    expect(one.current?.content.generation).toBe(5)
  })

  it.each([
    ['does not answer', 'Unreachable', new OciError('Unreachable', 'away')],
    ['refuses', 'Unauthorized', new OciError('Unauthorized', 'no')],
    ['has none', 'NotFound', undefined],
  ])('stays as it is when the registry %s, with since when', async (_title, reason, error) => {
    const one = puller()
    await one.pullOnce(never)
    source = channelSource(root, error)
    now = new Date(start.getTime() + 60_000)
    await one.pullOnce(never)
    now = new Date(start.getTime() + 120_000)
    await one.pullOnce(never)
    expect(one.trouble).toMatchObject({ reason, since: '2026-01-01T00:01:00.000Z' })
    expect(one.current?.content.generation).toBe(1)
  })

  it('that expires while it is the current one stays, and is told as expired', async () => {
    const one = puller()
    await one.pullOnce(never)
    now = new Date('2026-01-03T00:00:00Z')
    await one.pullOnce(never)
    await one.pullOnce(never)
    expect(expiries).toBe(1)
    expect(one.expired).toBe(true)
    expect(one.trouble).toMatchObject({ reason: 'ChannelExpired', since: '2026-01-02T00:00:00.000Z' })
    expect(one.current?.content.generation).toBe(1)
  })

  it('that expires while the registry is away is told as expired first, with what stands in the way of a new one', async () => {
    const one = puller()
    await one.pullOnce(never)
    source = channelSource(root, new OciError('Unreachable', 'the registry is away'))
    now = new Date('2026-01-01T12:00:00Z')
    await one.pullOnce(never)
    expect(one.trouble?.reason).toBe('Unreachable')
    now = new Date('2026-01-03T00:00:00Z')
    expect(one.trouble).toMatchObject({ reason: 'ChannelExpired', since: '2026-01-02T00:00:00.000Z' })
    expect(one.trouble?.message).toContain('2026-01-01T12:00:00.000Z: the registry is away')
  })

  it('counts as expired when its trust root has', async () => {
    source = channelSource(root, signed({ expiresAt: '2028-01-01T00:00:00Z' }))
    const one = puller()
    await one.pullOnce(never)
    expect(one.expired).toBe(false)
    now = new Date('2027-01-01T00:00:00Z')
    expect(one.expired).toBe(true)
  })

  it('is known after a restart without the registry, and still cannot be rolled back', async () => {
    source = channelSource(root, signed({ generation: 7 }))
    await puller().pullOnce(never)
    const state = saved[0]
    if (state === undefined) throw new Error('nothing was stored')
    const again = puller(state)
    again.resume()
    expect(again.current?.content.generation).toBe(7)
    source = channelSource(root, signed({ generation: 6 }))
    await again.pullOnce(never)
    expect(again.trouble?.reason).toBe('ChannelRollback')
  })

  it('that comes too slowly is told as trouble while it does, is given up at the deadline, and is asked for again', async () => {
    const asked = Promise.withResolvers<AbortSignal>()
    const answering = source
    source = {
      ...answering,
      manifest: async (_digest, options) => {
        const signal = options?.signal
        if (signal == null) throw new Error('without a signal it would hang for ever')
        asked.resolve(signal)
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
      },
    }
    const one = puller({ generation: 0, root }, 50)
    const polled = one.pullOnce(never)
    await asked.promise
    expect(one.trouble).toBeUndefined()
    now = new Date(start.getTime() + 30_000)
    expect(one.trouble).toMatchObject({ reason: 'Timeout', since: start.toISOString() })
    expect(await polled).toBe(false)
    expect(one.trouble?.reason).toBe('Timeout')
    source = answering
    await one.pullOnce(never)
    expect(one.trouble).toBeUndefined()
    expect(accepted).toHaveLength(1)
  })

  it('that was remembered and changed by someone is not used', () => {
    const channel = Buffer.from(signed({ generation: 7 }))
    channel[channel.indexOf('bundles/shop')] = 'B'.charCodeAt(0)
    const one = puller({ generation: 7, digest: 'sha256:x', root, channel: new Uint8Array(channel) })
    one.resume()
    expect(one.current).toBeUndefined()
  })
})
