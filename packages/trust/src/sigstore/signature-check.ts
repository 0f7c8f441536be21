import { type KeyObject, verify } from 'node:crypto'

/** Hashes that go with a key: its natural one first, then SHA-256, which cosign before 2.5 used with every key. */
export function hashesOf(key: KeyObject): readonly (string | undefined)[] {
  if (key.asymmetricKeyType === 'ed25519') return [undefined]
  switch (key.asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return ['sha384', 'sha256']
    case 'secp521r1':
      return ['sha512', 'sha256']
    default:
      return ['sha256']
  }
}

/** Why a key is not used for signatures here, if so. ECDSA on the NIST curves, RSA of 2048 to 8192 bits, Ed25519 (FIPS 186-5). */
export function objectionTo(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  switch (type) {
    case 'ec': {
      const curve = details?.namedCurve
      return curve === 'prime256v1' || curve === 'secp384r1' || curve === 'secp521r1' ? undefined : `is on the curve ${curve ?? 'unknown'}`
    }
    case 'rsa': {
      const bits = details?.modulusLength ?? 0
      return bits >= 2048 && bits <= 8192 ? undefined : `is RSA of ${bits} bits`
    }
    case 'ed25519':
      return undefined
    default:
      return `is of type ${type ?? 'unknown'}`
  }
}

/** Whether a signature over `signed` was made with the private half of `key`. ECDSA as a DER sequence, RSA as PKCS#1 v1.5. */
export function signatureHolds(signed: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  return (
    objectionTo(key) === undefined &&
    hashesOf(key).some((hash) => {
      try {
        return verify(hash, signed, key, signature)
      } catch {
        return false // not a signature of this kind of key
      }
    })
  )
}
