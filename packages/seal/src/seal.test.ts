import fc from 'fast-check'
import { CompactEncrypt, compactDecrypt, exportJWK, generateKeyPair, importJWK } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  createSealingKey,
  maxSealedLength,
  maxValueBytes,
  type PrivateSealingKey,
  publicHalf,
  readPublicKey,
  readSealed,
  SealError,
  seal,
  unseal,
} from './index.ts'

const place = { cluster: 'alpha', release: 'shop', parameter: 'password' }
const secret = 'correct horse battery staple'
let key: PrivateSealingKey
let other: PrivateSealingKey
let sealed: string

beforeAll(async () => {
  ;[key, other] = await Promise.all([createSealingKey(), createSealingKey()])
  sealed = await seal(secret, place, publicHalf(key))
})

/** A sealed value with another protected header, sealed to the same key. */
async function forged(change: Record<string, unknown>): Promise<string> {
  const header = { alg: 'ECDH-ES', enc: 'A256GCM', typ: 'muster-sealed+jwe', kid: key.kid, ...place, ...change }
  return new CompactEncrypt(new TextEncoder().encode(secret))
    .setProtectedHeader(header)
    .encrypt(await importJWK(publicHalf(key), 'ECDH-ES'))
}

describe('a sealed value', () => {
  it('is unsealed by the key that it was sealed to, and by nothing that it shows', async () => {
    expect(await unseal(sealed, place, [other, key])).toBe(secret)
    expect(sealed).not.toContain(Buffer.from(secret).toString('base64url'))
    expect(await seal(secret, place, publicHalf(key))).not.toBe(sealed)
  })

  it('is an ordinary JWE with algorithms that FIPS approves, which any library opens', async () => {
    const opened = await compactDecrypt(sealed, await importJWK(key, 'ECDH-ES'))
    expect(new TextDecoder().decode(opened.plaintext)).toBe(secret)
    expect(opened.protectedHeader).toMatchObject({ alg: 'ECDH-ES', enc: 'A256GCM', epk: { kty: 'EC', crv: 'P-256' } })
    expect(readSealed(sealed)).toMatchObject({ ...place, kid: key.kid })
  })

  it.each([
    ['cluster', { ...place, cluster: 'bravo' }],
    ['release', { ...place, release: 'bank' }],
    ['parameter', { ...place, parameter: 'username' }],
  ])('of another %s is refused by name', async (_, elsewhere) => {
    const refusal = unseal(sealed, elsewhere, [key])
    await expect(refusal).rejects.toMatchObject({
      code: 'Misplaced',
      message: `The value given for parameter ${elsewhere.parameter} of release ${elsewhere.release} in cluster ${elsewhere.cluster} was sealed for parameter password of release shop in cluster alpha. Seal it for where it is used.`,
    })
  })

  it('cannot be made to say that it is for somewhere else', async () => {
    const [header = '', ...rest] = sealed.split('.')
    const said = JSON.parse(Buffer.from(header, 'base64url').toString()) as object
    const moved = [Buffer.from(JSON.stringify({ ...said, cluster: 'bravo' })).toString('base64url'), ...rest].join('.')
    await expect(unseal(moved, { ...place, cluster: 'bravo' }, [key])).rejects.toMatchObject({ code: 'Damaged' })
  })

  it('whose key is lost or another is refused with the names of both', async () => {
    await expect(unseal(sealed, place, [other])).rejects.toMatchObject({
      code: 'UnknownKey',
      message: expect.stringMatching(
        new RegExp(`sealed to key ${key.kid}, which this cluster does not have; it has ${other.kid}`),
      ) as string,
    })
    await expect(unseal(sealed, place, [])).rejects.toMatchObject({
      code: 'UnknownKey',
      message: expect.stringContaining('no key') as string,
    })
  })

  it('under a key that only bears the name of the right one is damaged, not read', async () => {
    await expect(unseal(sealed, place, [{ ...other, kid: key.kid }])).rejects.toMatchObject({ code: 'Damaged' })
  })

  it.each([
    ['key wrapping', { alg: 'ECDH-ES+A256KW' }],
    ['a shorter key', { enc: 'A128GCM' }],
    ['AES-CBC', { enc: 'A256CBC-HS512' }],
    ['another type', { typ: 'JWT' }],
    ['a header that nobody knows', { x5u: 'https://example.test/' }],
    ['no release', { release: undefined }],
  ])('with %s is no sealed value', async (_, change) => {
    await expect(unseal(await forged(change), place, [key])).rejects.toMatchObject({ code: 'Malformed' })
  })

  it('on another curve is no sealed value', async () => {
    const { publicKey } = await generateKeyPair('ECDH-ES', { crv: 'X25519' })
    const header = { alg: 'ECDH-ES', enc: 'A256GCM', typ: 'muster-sealed+jwe', kid: key.kid, ...place }
    const jwe = await new CompactEncrypt(new TextEncoder().encode(secret)).setProtectedHeader(header).encrypt(publicKey)
    await expect(unseal(jwe, place, [key])).rejects.toMatchObject({ code: 'Malformed' })
  })

  it('has a bound, and so has what is sealed', async () => {
    const longest = 'x'.repeat(maxValueBytes)
    const big = await seal(longest, place, publicHalf(key))
    expect(big.length).toBeLessThanOrEqual(maxSealedLength)
    expect(await unseal(big, place, [key])).toBe(longest)
    await expect(seal(`${longest}x`, place, publicHalf(key))).rejects.toMatchObject({ code: 'ValueInvalid' })
    await expect(seal('', place, publicHalf(key))).rejects.toMatchObject({ code: 'ValueInvalid' })
    expect(() => readSealed('x'.repeat(maxSealedLength + 1))).toThrow(expect.objectContaining({ code: 'Malformed' }))
  })

  it('of which any byte was changed is refused, and what is no JWE is too, never with what it holds', async () => {
    const refusedOr = async (text: string): Promise<string | SealError> =>
      unseal(text, place, [key]).catch((error: unknown) => error as SealError)
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 127 }), async (at, by) => {
        const changed = sealed.slice(0, at) + String.fromCharCode(sealed.charCodeAt(at) ^ by) + sealed.slice(at + 1)
        const result = await refusedOr(changed)
        // The last character of a part has bits that stand for nothing: the same bytes may be written in two ways.
        if (result === secret) return
        expect(result).toBeInstanceOf(SealError)
        expect((result as SealError).message).not.toContain(secret)
      }),
      { numRuns: 400 },
    )
    const part = fc.string({ unit: fc.constantFrom(...'ABCxyz019-_=+/ é') })
    const json = fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(part, json, fc.constantFrom(...sealed.split('.'))), { maxLength: 7 }), async (parts) => {
        const text = parts.join('.')
        if (text === sealed) return
        const result = await refusedOr(text)
        expect(result).toBeInstanceOf(SealError)
      }),
      { numRuns: 400 },
    )
  })

  it('round trips any text', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }), async (text) => {
        expect(await unseal(await seal(text, place, publicHalf(key)), place, [key])).toBe(text)
      }),
      { numRuns: 20 },
    )
  })
})

describe('a key to seal to', () => {
  it('is read back as it was written', async () => {
    expect(await readPublicKey(JSON.parse(JSON.stringify(publicHalf(key))))).toEqual(publicHalf(key))
  })

  it('that was swapped under its name, or is no point of the curve, or is another kind, is refused', async () => {
    await expect(readPublicKey({ ...publicHalf(other), kid: key.kid })).rejects.toMatchObject({ code: 'KeyInvalid' })
    await expect(readPublicKey({ ...publicHalf(key), y: publicHalf(other).y })).rejects.toMatchObject({ code: 'KeyInvalid' })
    await expect(readPublicKey({ ...publicHalf(key), crv: 'P-521' })).rejects.toMatchObject({ code: 'KeyInvalid' })
    // The private half must never be where a public key is expected.
    await expect(readPublicKey(key)).rejects.toMatchObject({ code: 'KeyInvalid' })
    const { publicKey } = await generateKeyPair('RSA-OAEP-256', { extractable: true })
    await expect(readPublicKey(await exportJWK(publicKey))).rejects.toMatchObject({ code: 'KeyInvalid' })
  })
})
