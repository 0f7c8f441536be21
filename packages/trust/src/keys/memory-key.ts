import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { refusing } from '../errors.ts'
import { kindOf, signWith } from './keys.ts'
import type { SignatureKey } from './signature-key.ts'

/** Longer than the PEM of any private key that is accepted, RSA with 8192 bits included. */
const maxPrivatePemLength = 16 * 1024

/**
 * A private key in memory as one that signs: PKCS#8, PEM, not encrypted.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`
 */
export function signatureKeyFromPem(privateKey: string): SignatureKey {
  return memoryKey(
    refusing('KeyUnreadable', 'The private key is not PKCS#8 in PEM, or it is damaged.', () => {
      if (privateKey.length > maxPrivatePemLength) throw new Error('too long')
      return createPrivateKey(privateKey)
    }),
  )
}

/** @throws TrustError `KeyNotAllowed` */
export function memoryKey(key: KeyObject): SignatureKey {
  kindOf(key)
  return {
    publicKey: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
    sign: async (bytes, signal) => {
      signal?.throwIfAborted()
      return signWith(key, bytes)
    },
  }
}
