import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { refusing, TrustError } from '../errors.ts'

/** An ECDSA P-256 key pair: PKCS#8 and SPKI, both PEM (FIPS 186-5). */
export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

/** Hash that goes with each curve that is accepted: what cosign and TUF use (FIPS 186-5, 180-4). */
const hashes = { prime256v1: 'sha256', secp384r1: 'sha384' } as const

/** Longer than the PEM of any key that is accepted. */
const maxPemLength = 4096

/** Makes a key pair for signing. */
export function generateKeyPair(): KeyPair {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

/** The public half of a private key, both PEM. @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function publicKeyOf(privateKey: string): string {
  return createPublicKey(readPrivateKey(privateKey)).export({ type: 'spki', format: 'pem' }).toString()
}

/** Hex SHA-256 of a public key (SPKI, DER): its name in a trust root. @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function keyId(publicKey: string): string {
  return fingerprint(publicKey).toString('hex')
}

/**
 * Base64 SHA-256 of a public key (SPKI, DER): what cosign writes to `verificationMaterial.publicKey.hint` of a Sigstore bundle.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`
 */
export function keyHint(publicKey: string): string {
  return fingerprint(publicKey).toString('base64')
}

function fingerprint(publicKey: string): Buffer {
  return createHash('sha256')
    .update(readPublicKey(publicKey).export({ type: 'spki', format: 'der' }))
    .digest()
}

/** ECDSA over SHA-256, as a DER sequence. @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function signBytes(data: Uint8Array, privateKey: string): Buffer {
  return sign('sha256', data, readPrivateKey(privateKey))
}

/** Whether `signature` (DER) over `data` was made with the private half of `publicKey` (PEM). */
export function verifyBytes(data: Uint8Array, publicKey: string, signature: Uint8Array): boolean {
  const key = readPublicKey(publicKey)
  try {
    return verify(hashes[curveOf(key)], data, key, signature)
  } catch {
    return false // not a DER sequence of two integers
  }
}

/**
 * Reads a public key (SPKI, PEM): ECDSA on P-256 or P-384.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`
 */
export function readPublicKey(pem: string): KeyObject {
  const key = refusing(
    'KeyUnreadable',
    'The public key is not SPKI in PEM, or it is damaged. Give the file that "cosign public-key" or Muster wrote.',
    () => {
      // createPublicKey would also take a private key or a certificate, and so let one be published by mistake.
      if (pem.length > maxPemLength || !pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) throw new Error('no SPKI in PEM')
      return createPublicKey(pem)
    },
  )
  curveOf(key)
  return key
}

function readPrivateKey(pem: string): KeyObject {
  const key = refusing('KeyUnreadable', 'The private key is not PKCS#8 in PEM, or it is damaged.', () => {
    if (pem.length > maxPemLength) throw new Error('too long')
    return createPrivateKey(pem)
  })
  if (curveOf(key) !== 'prime256v1') throw new TrustError('KeyNotAllowed', 'Signing keys are ECDSA on P-256; this one is on P-384.')
  return key
}

function curveOf(key: KeyObject): keyof typeof hashes {
  const curve = key.asymmetricKeyType === 'ec' ? key.asymmetricKeyDetails?.namedCurve : undefined
  if (curve === 'prime256v1' || curve === 'secp384r1') return curve
  throw new TrustError(
    'KeyNotAllowed',
    `The key is of type ${key.asymmetricKeyType ?? 'unknown'}${curve ? ` on curve ${curve}` : ''}; use ECDSA on P-256 or P-384.`,
  )
}
