import { verifyBytes } from '../keys/keys.ts'

/** A signature or an attestation in any format that is read here, normalised. Nothing in it is verified yet. */
export interface SignedEnvelope {
  readonly format: 'sigstore-bundle' | 'cosign-signature' | 'cosign-attestation'
  /** Digest of the manifest that it was read from. */
  readonly referrer: string
  /** Of DSSE: the in-toto type. Of simple signing: its media type. */
  readonly payloadType: string
  readonly payload: Uint8Array
  /** Exactly the bytes that were signed: DSSE's pre-authentication encoding, or the simple-signing payload itself. */
  readonly signed: Uint8Array
  /** One: what has more is refused when it is read, so that no good signature lends itself to a bad one. */
  readonly signatures: readonly { readonly sig: Uint8Array; readonly keyid?: string }[]
  readonly material: SigningMaterial
  /** The Sigstore bundle's JSON, where it is one. */
  readonly bundle?: unknown
  /** What the payload says. The reader has checked that `digest` is that of the subject. */
  readonly claims: SignatureClaims
}

/** What came with a signature to check it by. */
export interface SigningMaterial {
  /** Unsigned: it narrows the search for the key, and proves nothing. */
  readonly publicKeyHint?: string
  /** DER in base64 (bundles) or PEM (cosign's older formats); leaf first. */
  readonly certificates?: string[]
  /** Transparency log entries in the JSON form of sigstore_rekor.proto. Those of cosign's older formats are brought into it. */
  readonly tlogEntries?: unknown[]
  /** RFC 3161 responses, DER. */
  readonly timestamps?: Uint8Array[]
}

export interface SignatureClaims {
  /** `sha256:…` */
  readonly digest: string
  /** Of a signature in cosign's older format there is none. */
  readonly predicateType?: string
  readonly predicate?: unknown
  /** What `-a key=value` signed beside the digest. */
  readonly annotations?: Readonly<Record<string, unknown>>
}

/** Whether an envelope is signed by the private half of a key (SPKI, PEM). @throws TrustError `KeyUnreadable`, `KeyNotAllowed` */
export function isSignedBy({ signed, signatures }: SignedEnvelope, publicKey: string): boolean {
  return signatures.length > 0 && signatures.every(({ sig }) => verifyBytes(signed, publicKey, sig))
}
