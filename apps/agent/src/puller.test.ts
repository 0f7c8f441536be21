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
let failSaving: boolean

const clock: Clock = { now: () => now, random: () => 0.5, sleep: async () => {} }

function puller(state: ChannelState = { generation: 0, root }): Puller {
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
  })
}

beforeEach(() => {
  now = start
  saved = []
  accepted = []
  told = 0
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
    expect(one.expired).toBe(true)
    expect(one.trouble).toMatchObject({ reason: 'ChannelExpired', since: '2026-01-02T00:00:00.000Z' })
    expect(one.current?.content.generation).toBe(1)
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

  it('that was remembered and changed by someone is not used', () => {
    const channel = Buffer.from(signed({ generation: 7 }))
    channel[channel.indexOf('bundles/shop')] = 'B'.charCodeAt(0)
    const one = puller({ generation: 7, digest: 'sha256:x', root, channel: new Uint8Array(channel) })
    one.resume()
    expect(one.current).toBeUndefined()
  })
})
