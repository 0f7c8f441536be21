import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import { refusing, TrustError } from '../errors.ts'

/** An ECDSA P-256 key pair: PKCS#8 and SPKI, both PEM (FIPS 186-5). */
export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

/** Hash that goes with each kind of key that is accepted: what cosign and TUF use (FIPS 186-5, 180-4). */
const hashes = { prime256v1: 'sha256', secp384r1: 'sha384', rsa: 'sha256' } as const

export type KeyKind = keyof typeof hashes

/** RSA moduli that are accepted, in bits: NIST SP 800-57 part 1 asks for 3072 beyond 2030; larger ones only take time. */
const rsaBits = { least: 3072, most: 8192 } as const

/** Longer than the PEM of any public key that is accepted, and of any private one of a curve. */
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
  return readOnce(publicKey).fingerprint
}

/** ECDSA over SHA-256 with a P-256 key, as a DER sequence: what channels and roots are signed with. @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function signBytes(data: Uint8Array, privateKey: string): Buffer {
  return sign('sha256', data, readPrivateKey(privateKey))
}

/** Hashes and signs with a private key of a kind that is accepted. */
export function signWith(key: KeyObject, data: Uint8Array): Buffer {
  return sign(hashes[kindOf(key)], data, key)
}

/** Whether `signature` (DER; of RSA, PKCS#1 v1.5) over `data` was made with the private half of `publicKey` (PEM). */
export function verifyBytes(data: Uint8Array, publicKey: string, signature: Uint8Array): boolean {
  const { key, kind } = readOnce(publicKey)
  try {
    return verify(hashes[kind], data, key, signature)
  } catch {
    return false // not in the form of a signature
  }
}

/**
 * Reads a public key (SPKI, PEM): ECDSA on P-256 or P-384, or RSA of at least 3072 bits.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`
 */
export function readPublicKey(pem: string): KeyObject {
  return readOnce(pem).key
}

interface ReadKey {
  readonly key: KeyObject
  readonly kind: KeyKind
  readonly fingerprint: Buffer
}

/** Keys that were read, by their PEM: the same few vouch for all that is verified. */
const readKeys = new Map<string, ReadKey>()
const mostReadKeys = 64

function readOnce(pem: string): ReadKey {
  const known = readKeys.get(pem)
  if (known !== undefined) return known
  const key = parsePublicKey(pem)
  const made = {
    key,
    kind: kindOf(key),
    fingerprint: createHash('sha256')
      .update(key.export({ type: 'spki', format: 'der' }))
      .digest(),
  }
  if (readKeys.size >= mostReadKeys) readKeys.clear()
  readKeys.set(pem, made)
  return made
}

function parsePublicKey(pem: string): KeyObject {
  return refusing(
    'KeyUnreadable',
    'The public key is not SPKI in PEM, or it is damaged. Give the file that "cosign public-key" or Muster wrote.',
    () => {
      // createPublicKey would also take a private key or a certificate, and so let one be published by mistake.
      if (pem.length > maxPemLength || !pem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) throw new Error('no SPKI in PEM')
      return createPublicKey(pem)
    },
  )
}

function readPrivateKey(pem: string): KeyObject {
  const key = refusing('KeyUnreadable', 'The private key is not PKCS#8 in PEM, or it is damaged.', () => {
    if (pem.length > maxPemLength) throw new Error('too long')
    return createPrivateKey(pem)
  })
  if (kindOf(key) !== 'prime256v1') throw new TrustError('KeyNotAllowed', 'The key must be ECDSA on P-256 here; this one is not.')
  return key
}

/** Which of the accepted kinds a key is. @throws TrustError `KeyNotAllowed`, with its kind by name */
export function kindOf(key: KeyObject): KeyKind {
  const { namedCurve, modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === 'ec' && (namedCurve === 'prime256v1' || namedCurve === 'secp384r1')) return namedCurve
  if (key.asymmetricKeyType === 'rsa') {
    const fits = modulusLength >= rsaBits.least && modulusLength <= rsaBits.most && publicExponent >= 65537n && publicExponent < 2n ** 32n
    if (fits) return 'rsa'
  }
  const kind = key.asymmetricKeyType ?? 'unknown'
  const detail = kind === 'ec' ? ` on curve ${namedCurve ?? 'of its own parameters'}` : kind === 'rsa' ? ` with ${modulusLength} bits` : ''
  throw new TrustError(
    'KeyNotAllowed',
    `The key is of type ${kind}${detail}; use ECDSA on P-256 or P-384, or RSA with ${rsaBits.least} to ${rsaBits.most} bits.`,
  )
}
