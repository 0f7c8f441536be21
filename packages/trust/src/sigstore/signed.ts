import { createHash, type KeyObject } from 'node:crypto'
import { TrustError } from '../errors.ts'
import type { SignedEnvelope, SigningMaterial } from '../signature/envelope.ts'
import { signatureHolds } from './signature-check.ts'

/** Something signed with what came along, whatever it was read from: what authorities judge. */
export interface Signed {
  /** How messages call it. */
  readonly what: string
  readonly content: SignedContent
  readonly material: SigningMaterial
  /** JSON of the Sigstore bundle, where it is one: what its version demands is checked. */
  readonly bundle?: unknown
}

/** What was signed, as a log entry or a time stamp is compared with it. */
export interface SignedContent {
  readonly signature: Uint8Array
  /** SHA-256 of DSSE's payload, or of the artifact. */
  readonly payloadDigest: Uint8Array
  /** Digest of exactly the bytes that were signed; nothing where it is not known with this hash. */
  readonly signedDigest: (hash: SignedHash) => Uint8Array | undefined
  readonly holds: (key: KeyObject) => boolean
}

export type SignedHash = 'sha256' | 'sha384' | 'sha512'

/** @throws TrustError `UnknownFormat` where there is not exactly one signature: a good one must not lend itself to a bad one */
export function signedOfEnvelope(envelope: SignedEnvelope): Signed {
  const { referrer: what, signatures, payload, signed, material, bundle } = envelope
  const [first, ...more] = signatures
  if (first === undefined || more.length > 0)
    throw new TrustError('UnknownFormat', `There are ${signatures.length} signatures in ${what} where exactly one is read.`)
  return { what, material, content: contentOf(payload, signed, first.sig), ...(bundle === undefined ? {} : { bundle }) }
}

/** Content whose bytes are at hand. */
export function contentOf(payload: Uint8Array, signed: Uint8Array, signature: Uint8Array): SignedContent {
  return {
    signature,
    payloadDigest: createHash('sha256').update(payload).digest(),
    signedDigest: (hash) => createHash(hash).update(signed).digest(),
    holds: (key) => signatureHolds(signed, key, signature),
  }
}
