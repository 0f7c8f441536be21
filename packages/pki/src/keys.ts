import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, type webcrypto } from 'node:crypto'
import { PkiError } from './errors.ts'

/** An ECDSA P-256 key pair: PKCS#8 and SPKI, both PEM. The only kind that Muster makes (FIPS 186-5). */
export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

/** Makes a new P-256 key pair. */
export function createKeyPair(): KeyPair {
  return generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
}

/** The public half of a private key, both PEM. */
export function publicKeyOf(privateKey: string): string {
  return createPublicKey(readPrivateKey(privateKey)).export({ type: 'spki', format: 'pem' }).toString()
}

/**
 * A private key as WebCrypto's, for signing with SHA-256.
 * @throws PkiError `KeyUnreadable`, `KeyNotAllowed`
 */
export async function signingKey(privateKey: string): Promise<webcrypto.CryptoKey> {
  const der = readPrivateKey(privateKey).export({ type: 'pkcs8', format: 'der' })
  return crypto.subtle.importKey('pkcs8', new Uint8Array(der), { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
}

/** A public key (SPKI, PEM) as WebCrypto's. */
export async function verifyingKey(publicKey: string): Promise<webcrypto.CryptoKey> {
  const key = createPublicKey(publicKey)
  const namedCurve = curveOf(key)
  return crypto.subtle.importKey('spki', new Uint8Array(key.export({ type: 'spki', format: 'der' })), { name: 'ECDSA', namedCurve }, true, [
    'verify',
  ])
}

/** The NIST name of an EC key's curve. P-256 and P-384 are allowed. */
export function curveOf(key: KeyObject): 'P-256' | 'P-384' {
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve === 'prime256v1') return 'P-256'
  if (curve === 'secp384r1') return 'P-384'
  throw new PkiError(
    'KeyNotAllowed',
    `The key is of type ${key.asymmetricKeyType ?? 'unknown'}${curve ? ` on curve ${curve}` : ''}; use ECDSA on P-256 or P-384.`,
  )
}

function readPrivateKey(pem: string): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (cause) {
    throw new PkiError('KeyUnreadable', 'The private key is not PEM in PKCS#8, or it is damaged.', cause)
  }
  if (curveOf(key) !== 'P-256') throw new PkiError('KeyNotAllowed', 'Signing keys are on P-256; this one is on P-384.')
  return key
}
