import { createHash, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { generateKeyPair, keyHint, keyId, publicKeyOf, readPublicKey, signBytes, verifyBytes } from './keys.ts'

const asPem = (keys: { publicKey: KeyObject; privateKey: KeyObject }) => ({
  publicKey: keys.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
})

describe('keys', () => {
  it('are ECDSA P-256, and what one half signs the other verifies', () => {
    const keys = generateKeyPair()
    const data = Buffer.from('data')
    expect(createPublicKey(keys.publicKey).asymmetricKeyDetails?.namedCurve).toBe('prime256v1')
    expect(publicKeyOf(keys.privateKey)).toBe(keys.publicKey)
    expect(verifyBytes(data, keys.publicKey, signBytes(data, keys.privateKey))).toBe(true)
    expect(verifyBytes(Buffer.from('other'), keys.publicKey, signBytes(data, keys.privateKey))).toBe(false)
    expect(verifyBytes(data, keys.publicKey, Buffer.from('no signature'))).toBe(false)
  })

  it('are known to cosign by the base64 SHA-256 of the SPKI, and to a root by its hex', () => {
    const { publicKey } = generateKeyPair()
    const hash = createHash('sha256').update(createPublicKey(publicKey).export({ type: 'spki', format: 'der' }))
    expect(Buffer.from(keyHint(publicKey), 'base64').toString('hex')).toBe(keyId(publicKey))
    expect(keyId(publicKey)).toBe(hash.digest('hex'))
  })

  it('of other kinds are refused: short RSA, Ed25519, other curves, and P-384 for channels and roots', () => {
    const rsa = asPem(generateKeyPairSync('rsa', { modulusLength: 2048 }))
    const edwards = asPem(generateKeyPairSync('ed25519'))
    const koblitz = asPem(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }))
    for (const keys of [rsa, edwards, koblitz]) {
      expect(() => readPublicKey(keys.publicKey)).toThrow(expect.objectContaining({ code: 'KeyNotAllowed' }))
      expect(() => signBytes(Buffer.from(''), keys.privateKey)).toThrow(expect.objectContaining({ code: 'KeyNotAllowed' }))
    }
    const larger = asPem(generateKeyPairSync('ec', { namedCurve: 'P-384' }))
    expect(readPublicKey(larger.publicKey).asymmetricKeyType).toBe('ec')
    expect(() => signBytes(Buffer.from(''), larger.privateKey)).toThrow(expect.objectContaining({ code: 'KeyNotAllowed' }))
  })

  it('are not read from what is no public key, a private one above all', () => {
    for (const text of [
      '',
      'hello',
      generateKeyPair().privateKey,
      '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n',
      'x'.repeat(5000),
    ])
      expect(() => readPublicKey(text)).toThrow(expect.objectContaining({ code: 'KeyUnreadable' }))
  })
})
