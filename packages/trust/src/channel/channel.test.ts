import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { generateKeyPair } from '../keys/keys.ts'
import { addChannelSignatures, readChannelContent, signChannel, verifyChannel } from './channel.ts'
import type { ChannelContent } from './channel-content.ts'
import { createRoot, signRoot } from './root.ts'

const now = new Date('2030-01-01T00:00:00Z')
const expires = '2031-01-01T00:00:00Z'
const [rootA, rootB, channelA, channelB, stranger] = [0, 1, 2, 3, 4].map(generateKeyPair) as [Keys, Keys, Keys, Keys, Keys]
type Keys = ReturnType<typeof generateKeyPair>

const root1 = createRoot({ rootKeys: [rootA], rootThreshold: 1, channelKeys: [channelA], channelThreshold: 1, expires, version: 1 })
/** Takes over from `root1`: other root key, other channel key, signed by the old and the new. */
const root2 = signRoot(
  createRoot({ rootKeys: [rootB], rootThreshold: 1, channelKeys: [channelB], channelThreshold: 1, expires, version: 2 }),
  [rootA.privateKey],
)
const root3 = createRoot({ rootKeys: [rootB], rootThreshold: 1, channelKeys: [channelB], channelThreshold: 1, expires, version: 3 })

const content: ChannelContent = {
  cluster: 'alpha',
  generation: 7,
  issuedAt: '2030-01-01T00:00:00.000Z',
  expiresAt: '2030-01-08T00:00:00Z',
  releases: [
    {
      name: 'database',
      bundle: { repository: 'bundles/database', version: '2.0.0', digest: `sha256:${'1'.repeat(64)}`, size: 900 },
    },
    {
      name: 'podinfo',
      bundle: { repository: 'bundles/podinfo', version: '1.0.0', digest: `sha256:${'2'.repeat(64)}`, size: 1234 },
      namespace: 'podinfo',
      settings: { dependsOn: [{ release: 'database' }], prune: { maxShare: 0.25 }, drift: { mode: 'correct' } },
    },
  ],
  publishers: [{ name: 'publisher', publicKey: stranger.publicKey }],
  newSealingKeyAfter: '2029-12-31T23:00:00.000Z',
  prune: { maxShare: 0.3333, consent: 7 },
}
const channel = signChannel(content, [channelA.privateKey])

const verify = (change: Partial<Parameters<typeof verifyChannel>[0]> = {}) =>
  verifyChannel({ trustedRoot: root1, rootBytes: root1, channelBytes: channel, cluster: 'alpha', lastGeneration: 7, now, ...change })
const code = (expected: string) => expect.objectContaining({ name: 'TrustError', code: expected })
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

describe('a channel', () => {
  it('comes out as it went in, with the root to trust from now on', () => {
    expect(verify()).toEqual({ content, root: root1, rootVersion: 1, expiresAt: '2030-01-08T00:00:00.000Z', expired: false })
    expect(readChannelContent(channel)).toEqual(content)
  })

  it('of 5,000 releases comes out as it went in, without taking long', () => {
    const release = (at: number) => ({
      name: `app-${String(at).padStart(4, '0')}`,
      bundle: { repository: 'bundles/app', version: '1.0.0', digest: `sha256:${'3'.repeat(64)}`, size: 900 },
    })
    const many = { ...content, releases: Array.from({ length: 5000 }, (_, at) => release(at)) }
    expect(verify({ channelBytes: signChannel(many, [channelA.privateKey]) }).content).toEqual(many)
  })

  it('is verified from a root that is kept as text, too', () => {
    expect(verify({ trustedRoot: text(root1), rootBytes: [text(root1)] }).content).toEqual(content)
  })

  it('of a lower generation than the last is refused; the same again is not', () => {
    expect(() => verify({ lastGeneration: 8 })).toThrow(code('ChannelRollback'))
    expect(verify({ lastGeneration: 0 }).content.generation).toBe(7)
  })

  it('of another cluster is refused', () => {
    expect(() => verify({ cluster: 'bravo' })).toThrow(code('ChannelWrongCluster'))
  })

  it('signed by a key that is no channel key is refused, be it a root key', () => {
    for (const keys of [stranger, rootA, channelB])
      expect(() => verify({ channelBytes: signChannel(content, [keys.privateKey]) })).toThrow(code('ChannelSignature'))
    expect(() => verify({ channelBytes: signChannel(content, []) })).toThrow(code('ChannelSignature'))
  })

  it('that has expired is reported, so that what runs can be kept', () => {
    const late = new Date('2030-01-08T00:00:00Z')
    expect(verify({ now: late })).toMatchObject({ expired: true, content })
    const brief = createRoot({
      rootKeys: [rootA],
      rootThreshold: 1,
      channelKeys: [channelA],
      channelThreshold: 1,
      expires: '2029-01-01T00:00:00Z',
      version: 1,
    })
    expect(verify({ trustedRoot: brief, rootBytes: brief })).toMatchObject({ expired: true })
  })

  it('must say that it is empty to empty a cluster', () => {
    const none = { ...content, releases: [] }
    expect(() => signChannel(none, [channelA.privateKey])).toThrow(code('ChannelMalformed'))
    expect(verify({ channelBytes: signChannel({ ...none, empty: true }, [channelA.privateKey]) }).content).toEqual({ ...none, empty: true })
    expect(() => signChannel({ ...content, empty: true }, [channelA.privateKey])).toThrow(code('ChannelMalformed'))
  })

  it('is not written when it would be refused where it is read', () => {
    const [first] = content.releases
    if (!first) throw new Error('the sample has releases')
    for (const broken of [
      { ...content, releases: [first, first] },
      { ...content, releases: [{ ...first, settings: { dependsOn: [{ release: 'missing' }] } }] },
      { ...content, releases: [{ ...first, settings: { prune: { maxShare: 2 } } }] },
      { ...content, releases: [{ ...first, name: '__proto__' }] },
      { ...content, releases: [{ ...first, bundle: { ...first.bundle, size: 1.5 } }] },
      { ...content, releases: [{ ...first, bundle: { ...first.bundle, digest: 'sha512:00' } }] },
      { ...content, cluster: 'Alpha' },
      { ...content, generation: 0 },
      { ...content, expiresAt: 'soon' },
      { ...content, publishers: [{ name: 'p', publicKey: 'no key' }] },
      { ...content, prune: { maxShare: 2 } },
    ])
      expect(() => signChannel(broken, [channelA.privateKey])).toThrow(TrustError)
  })

  it('takes as many signatures as the root demands', () => {
    const two = createRoot({
      rootKeys: [rootA],
      rootThreshold: 1,
      channelKeys: [channelA, channelB],
      channelThreshold: 2,
      expires,
      version: 1,
    })
    const options = { trustedRoot: two, rootBytes: two }
    expect(() => verify({ ...options, channelBytes: channel })).toThrow(code('ChannelSignature'))
    expect(verify({ ...options, channelBytes: addChannelSignatures(channel, [channelB.privateKey]) }).content).toEqual(content)
  })

  it('with any byte changed is refused, always with a reason', () => {
    everyChange(channel, (channelBytes) => verify({ channelBytes }))
  }, 60_000)

  it('that is any JSON at all is refused, never a crash', () => {
    const refused = (bytes: Uint8Array): void => {
      expect(() => verify({ channelBytes: bytes })).toThrow(TrustError)
    }
    fc.assert(fc.property(fc.json(), (json) => refused(Buffer.from(json))))
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (signed, signatures) => refused(Buffer.from(JSON.stringify({ signatures, signed })))),
    )
    const { signed, signatures } = JSON.parse(text(channel))
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(signed)), fc.jsonValue(), (key, value) => {
        if (JSON.stringify(value) !== JSON.stringify(signed[key]))
          refused(Buffer.from(JSON.stringify({ signatures, signed: { ...signed, [key]: value } })))
      }),
    )
    refused(Buffer.from('['.repeat(200_000)))
    refused(Buffer.alloc(5 * 1024 * 1024, 0x20))
  }, 60_000)

  it('says nothing twice: a second key, white space and what stands beside the signed part are refused', () => {
    const json = text(channel)
    for (const changed of [
      `${json} `,
      `\ufeff${json}`,
      json.replace('{', '{ '),
      json.replace('{', '{"a":1,'),
      json.replace('"signed":{', '"signed":{"version":9,'),
      // The models of TUF read an empty version as their own.
      json.replace('"1.0.31"', '""'),
    ])
      expect(() => verify({ channelBytes: Buffer.from(changed) })).toThrow(code('ChannelMalformed'))
  })
})

describe('a trust root', () => {
  it('is followed to the newest, one version at a time, from however old a one', () => {
    const channelBytes = signChannel(content, [channelB.privateKey])
    for (const trustedRoot of [root1, root2, root3])
      expect(verify({ trustedRoot, rootBytes: [root3, root1, root2], channelBytes })).toMatchObject({ rootVersion: 3, root: root3 })
  })

  it('once replaced is not gone back to: its channel key counts no more', () => {
    expect(() => verify({ trustedRoot: root2, rootBytes: root1 })).toThrow(code('ChannelSignature'))
    expect(() => verify({ rootBytes: [root1, root2] })).toThrow(code('ChannelSignature'))
  })

  it('that skips a version is refused, since the one between may have revoked a key', () => {
    expect(() => verify({ rootBytes: root3 })).toThrow(code('RootChainBroken'))
  })

  it('not signed by the one before is refused', () => {
    const seized = createRoot({ rootKeys: [stranger], rootThreshold: 1, channelKeys: [stranger], channelThreshold: 1, expires, version: 2 })
    expect(() => verify({ rootBytes: [root1, seized], channelBytes: signChannel(content, [stranger.privateKey]) })).toThrow(
      code('RootSignature'),
    )
  })

  it('not signed by its own keys is refused, even when the one before signed it', () => {
    const { publicKey } = rootB
    const half = createRoot({
      rootKeys: [{ publicKey }],
      rootThreshold: 1,
      channelKeys: [channelB],
      channelThreshold: 1,
      expires,
      version: 2,
    })
    expect(() => verify({ rootBytes: signRoot(half, [rootA.privateKey]) })).toThrow(code('RootSignature'))
  })

  it('takes m of n signatures of the one before', () => {
    const rootKeys = [rootA, rootB, stranger]
    const first = createRoot({ rootKeys, rootThreshold: 2, channelKeys: [channelA], channelThreshold: 1, expires, version: 1 })
    const second = createRoot({ rootKeys: [channelB], rootThreshold: 1, channelKeys: [channelA], channelThreshold: 1, expires, version: 2 })
    const options = { trustedRoot: first, channelBytes: channel }
    expect(() => verify({ ...options, rootBytes: signRoot(second, [rootA.privateKey]) })).toThrow(code('RootSignature'))
    expect(verify({ ...options, rootBytes: signRoot(second, [rootA.privateKey, stranger.privateKey]) }).rootVersion).toBe(2)
  })

  it('of the trusted version with other content is refused', () => {
    const twin = createRoot({ rootKeys: [rootA], rootThreshold: 1, channelKeys: [stranger], channelThreshold: 1, expires, version: 1 })
    expect(() => verify({ rootBytes: twin })).toThrow(code('RootSignature'))
  })

  it('does not count one key twice, under whatever names', () => {
    const json = JSON.parse(text(root1))
    const [id = ''] = json.signed.roles.root.keyids
    const alias = 'f'.repeat(64)
    json.signed.keys[alias] = json.signed.keys[id]
    json.signed.roles.root = { keyids: [id, alias], threshold: 2 }
    expect(() => signRoot(JSON.stringify(json), [])).toThrow(code('RootMalformed'))
    expect(() =>
      createRoot({ rootKeys: [rootA, rootA], rootThreshold: 2, channelKeys: [channelA], channelThreshold: 1, expires, version: 1 }),
    ).toThrow(code('RootMalformed'))
  })

  it('needs a threshold that its keys can reach', () => {
    for (const rootThreshold of [0, 2])
      expect(() =>
        createRoot({ rootKeys: [rootA], rootThreshold, channelKeys: [channelA], channelThreshold: 1, expires, version: 1 }),
      ).toThrow(code('RootMalformed'))
  })

  it('with any byte changed is refused, always with a reason', () => {
    everyChange(root1, (rootBytes) => verify({ rootBytes }))
    everyChange(root2, (root) => verify({ rootBytes: [root1, root], channelBytes: signedByB }))
  }, 60_000)
})

const signedByB = signChannel(content, [channelB.privateKey])

/** Changes bytes at random places, and demands a TrustError each time. */
function everyChange(bytes: Uint8Array, use: (changed: Uint8Array) => unknown): void {
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ change
      expect(() => use(changed)).toThrow(TrustError)
    }),
    { numRuns: 400 },
  )
}
