import type { BreakGlassStatement, EnclavePolicy } from '@muster/api'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TrustError } from '../errors.ts'
import { generateKeyPair, type KeyPair } from '../keys/keys.ts'
import { signatureKeyFromPem } from '../keys/memory-key.ts'
import { signStatement } from '../signature/sigstore-bundle.ts'
import { type BreakGlassCheck, readBreakGlass, signBreakGlass, verifyBreakGlass } from './break-glass.ts'

const [publisher, ops, security, mallory] = [generateKeyPair(), generateKeyPair(), generateKeyPair(), generateKeyPair()]
const now = new Date('2026-03-01T12:00:00.000Z')
const statement: BreakGlassStatement = {
  cluster: 'alpha',
  release: 'shop',
  reason: 'orders fail',
  by: 'ada',
  notBefore: '2026-03-01T12:00:00.000Z',
  until: '2026-03-01T12:30:00.000Z',
  nonce: 'abcdefghijklmnop',
}
const signed = async (change: Partial<BreakGlassStatement> = {}, key: KeyPair = publisher): Promise<string> =>
  JSON.stringify(await signBreakGlass({ ...statement, ...change }, { key: signatureKeyFromPem(key.privateKey) }))
const policy = (breakGlass: EnclavePolicy['spec']['breakGlass']) => ({ metadata: { name: 'site' }, spec: { breakGlass } })
const authority = (name: string, key: KeyPair) => ({ name, key: { publicKeys: [key.publicKey] } })
const check = (change: Partial<BreakGlassCheck> = {}): BreakGlassCheck => ({
  cluster: 'alpha',
  release: 'shop',
  publishers: [{ name: 'publisher', publicKey: publisher.publicKey }],
  policies: [],
  now,
  ...change,
})
const refused = (code: string, message: RegExp) => ({ name: 'TrustError', code, message: expect.stringMatching(message) })

describe('breaking glass', () => {
  it('takes the signature of a publisher of the channel, where the site says nothing', async () => {
    await expect(verifyBreakGlass([await signed()], check())).resolves.toEqual({ statement, signedBy: ['publisher'] })
  })

  it('refuses whom the channel does not name', async () => {
    await expect(verifyBreakGlass([await signed({}, mallory)], check())).rejects.toMatchObject(
      refused('WrongKey', /lets one of publisher break glass, and none of them has signed/),
    )
  })

  it('refuses what is for another cluster or another release', async () => {
    const one = await signed()
    await expect(verifyBreakGlass([one], check({ cluster: 'bravo' }))).rejects.toMatchObject(
      refused('PredicateRefused', /for cluster alpha, and this is bravo/),
    )
    await expect(verifyBreakGlass([one], check({ release: 'bank' }))).rejects.toMatchObject(
      refused('PredicateRefused', /for release shop, not for bank/),
    )
  })

  it('refuses what is for longer than is allowed: a day, or less where the site says so', async () => {
    const long = await signed({ until: '2026-03-02T12:00:00.001Z' })
    await expect(verifyBreakGlass([long], check())).rejects.toMatchObject(refused('PredicateRefused', /at most 24h/))
    const shorter = check({ policies: [policy({ maxDuration: '10m' })] })
    await expect(verifyBreakGlass([await signed()], shorter)).rejects.toMatchObject(
      refused('PredicateRefused', /for 30 minutes, and EnclavePolicy site allows at most 10m/),
    )
    const backwards = await signed({ until: '2026-03-01T11:00:00.000Z' })
    await expect(verifyBreakGlass([backwards], check())).rejects.toMatchObject(refused('PredicateRefused', /ends .* before it begins/))
  })

  it('asks those whom the site names, in place of publishers, and as many of them as it says', async () => {
    const two = check({ policies: [policy({ authorities: [authority('ops', ops), authority('security', security)], threshold: 2 })] })
    await expect(verifyBreakGlass([await signed()], two)).rejects.toMatchObject(refused('WrongKey', /none of them/))
    const byOps = await signed({}, ops)
    await expect(verifyBreakGlass([byOps], two)).rejects.toMatchObject(refused('NoneFound', /lets 2 of ops, security .* 1 of them/))
    await expect(verifyBreakGlass([byOps, byOps], two)).rejects.toMatchObject(refused('NoneFound', /1 of them/))
    await expect(verifyBreakGlass([byOps, await signed({}, security)], two)).resolves.toMatchObject({ signedBy: ['ops', 'security'] })
  })

  it('never counts one key for two people, and refuses a policy that nobody can meet', async () => {
    const same = check({ policies: [policy({ authorities: [authority('ops', ops), authority('security', ops)], threshold: 2 })] })
    await expect(verifyBreakGlass([await signed({}, ops)], same)).rejects.toMatchObject(refused('NoneFound', /1 of them/))
    const impossible = check({ policies: [policy({ authorities: [authority('ops', ops)], threshold: 2 })] })
    await expect(verifyBreakGlass([await signed({}, ops)], impossible)).rejects.toMatchObject(refused('PolicyInvalid', /more than its/))
    await expect(verifyBreakGlass([await signed()], check({ policies: [policy({ threshold: 2 })] }))).rejects.toMatchObject(
      refused('PolicyInvalid', /name authorities/),
    )
  })

  it('refuses signatures on different statements, and one that was moved to another statement', async () => {
    const [a, b] = [await signed(), await signed({ reason: 'another' })]
    expect(() => readBreakGlass([a, b])).toThrow(/different statements/)
    const moved = JSON.parse(a) as { dsseEnvelope: { payload: string } }
    moved.dsseEnvelope.payload = (JSON.parse(b) as typeof moved).dsseEnvelope.payload
    await expect(verifyBreakGlass([JSON.stringify(moved)], check())).rejects.toMatchObject({ code: 'WrongKey' })
  })

  it('refuses other statements of the same key, such as the signature of an artifact', async () => {
    const key = signatureKeyFromPem(publisher.privateKey)
    const subject = { digest: `sha256:${'0'.repeat(64)}` }
    const plain = JSON.stringify(await signStatement({ subject, key }))
    expect(() => readBreakGlass([plain])).toThrow(/does not say what opens a write guard/)
    const typed = JSON.stringify(await signStatement({ subject, key, predicateType: 'https://example.test/v1', predicate: statement }))
    expect(() => readBreakGlass([typed])).toThrow(TrustError)
  })

  it.each([
    ['a field that is not known', { more: 1 }],
    ['no time', { until: 'tomorrow' }],
    ['an empty reason', { reason: '' }],
    ['a reason without end', { reason: 'x'.repeat(2000) }],
    ['a nonce that is too short', { nonce: 'x' }],
    ['a name that is none', { release: '../shop' }],
  ])('refuses a statement with %s', async (_what, change) => {
    const key = signatureKeyFromPem(publisher.privateKey)
    const subject = { digest: `sha256:${'0'.repeat(64)}` }
    const predicate = { ...statement, ...change }
    const text = JSON.stringify(await signStatement({ subject, key, predicateType: 'https://muster.dev/break-glass/v1', predicate }))
    expect(() => readBreakGlass([text])).toThrow(/does not say what opens a write guard/)
  })

  it('refuses whatever else it is given by a TrustError, and neither too little nor too much', async () => {
    const good = await signed()
    expect(() => readBreakGlass([])).toThrow(/Between 1 and 8/)
    expect(() => readBreakGlass(Array.from({ length: 9 }, () => good))).toThrow(/Between 1 and 8/)
    expect(() => readBreakGlass([`${good}${' '.repeat(70_000)}`])).toThrow(/larger than/)
    const mangled = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({ at: fc.nat(good.length - 1), by: fc.string({ maxLength: 4 }) })
        .map(({ at, by }) => good.slice(0, at) + by + good.slice(at + 1)),
    )
    await fc.assert(
      fc.asyncProperty(mangled, async (text) => {
        await verifyBreakGlass([text], check()).catch((error: unknown) => expect(error).toBeInstanceOf(TrustError))
      }),
      { numRuns: 300 },
    )
  })
})
