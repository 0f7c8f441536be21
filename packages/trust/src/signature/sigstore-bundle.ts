import { TrustError } from '../errors.ts'
import { keyHint, verifyBytes } from '../keys/keys.ts'
import type { SignatureKey } from '../keys/signature-key.ts'
import { readSigstoreBundle, sigstoreBundleMediaType } from './bundle-reader.ts'
import { preAuthEncoding, statementPayloadType } from './dsse.ts'
import { type StatementContent, signPredicateType, statementFor } from './statement.ts'

/** A larger plain signature is not read. */
export const maxSignatureBytes = 1024 * 1024

/** Someone whose signatures count: a name of one's own choice and a public key (SPKI, PEM). */
export interface Publisher {
  readonly name: string
  readonly publicKey: string
}

/** A bundle with one signature by a key, in the order of fields that cosign writes. */
export interface SigstoreBundleJson {
  readonly mediaType: typeof sigstoreBundleMediaType
  readonly verificationMaterial: {
    readonly publicKey?: { readonly hint: string }
    readonly certificate?: { readonly rawBytes: string }
    readonly timestampVerificationData?: { readonly rfc3161Timestamps: readonly { readonly signedTimestamp: string }[] }
  }
  readonly dsseEnvelope: {
    readonly payload: string
    readonly payloadType: typeof statementPayloadType
    readonly signatures: readonly [{ readonly sig: string }]
  }
}

export interface SignOptions extends Omit<StatementContent, 'digest'> {
  /** What is signed: `digest` counts, `sha256:…` of a manifest or index. */
  readonly subject: { readonly digest: string }
  readonly key: SignatureKey
  /** Asks an authority to time-stamp the signature (RFC 3161); its answer, DER, goes into the bundle. */
  readonly timestamp?: ((signature: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Signs a statement about an artifact: DSSE in a Sigstore bundle v0.3, as cosign 3 makes it with a key and no transparency log. Without
 * a predicate type it is a plain signature.
 * @throws TrustError `StatementInvalid`, `KeyProvider`; `SignatureInvalid` where the key's two halves are no pair
 */
export async function signStatement({ subject, key, timestamp, signal, ...content }: SignOptions): Promise<SigstoreBundleJson> {
  const payload = statementFor({ digest: subject.digest, ...content })
  const signature = await signChecked(preAuthEncoding(statementPayloadType, payload), key, signal)
  const stamp = await timestamp?.(signature, signal)
  return {
    mediaType: sigstoreBundleMediaType,
    verificationMaterial: {
      ...material(key),
      ...(stamp ? { timestampVerificationData: { rfc3161Timestamps: [{ signedTimestamp: Buffer.from(stamp).toString('base64') }] } } : {}),
    },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString('base64'),
      payloadType: statementPayloadType,
      signatures: [{ sig: Buffer.from(signature).toString('base64') }],
    },
  }
}

/** Signs, and verifies what came out: a token or a pair of files may hold another key than it says. */
export async function signChecked(bytes: Uint8Array, key: SignatureKey, signal?: AbortSignal): Promise<Uint8Array> {
  const signature = await key.sign(bytes, signal)
  if (!verifyBytes(bytes, key.publicKey, signature))
    throw new TrustError('SignatureInvalid', 'The public key does not belong to the private key. Give both halves of one pair.')
  return signature
}

/** The leaf alone, as v0.3 asks for: who verifies has the chain of those whom they trust. */
function material(key: SignatureKey): SigstoreBundleJson['verificationMaterial'] {
  const leaf = key.certificateChain?.[0]
  if (leaf === undefined) return { publicKey: { hint: keyHint(key.publicKey) } }
  return { certificate: { rawBytes: leaf.replaceAll(/-----[A-Z ]+-----|\s/g, '') } }
}

/**
 * Checks one signature, and says whose it is; nothing when it is an attestation (SBOM, provenance, …) and no signature.
 * Pure. Only keys count: of a certificate it is said that no trusted key made it.
 * @throws TrustError `SignatureWrongKey`, `SignatureInvalid`
 */
export function verifySigstoreBundle(bytes: Uint8Array, digest: string, publishers: readonly Publisher[]): Publisher | undefined {
  const { claims, material, signed, signatures } = readPlain(bytes, digest)
  if (claims.predicateType !== signPredicateType) return undefined
  if (material.certificates)
    throw new TrustError(
      'SignatureWrongKey',
      `A signature on ${digest} was made with a certificate; only keys of the named publishers count here.`,
    )

  // The hint only narrows the search: it is not signed, so it proves nothing.
  const hint = material.publicKeyHint
  const claimed = hint ? publishers.filter((publisher) => keyHint(publisher.publicKey) === hint) : publishers
  const publisher = claimed.find((one) => signatures.every(({ sig }) => verifyBytes(signed, one.publicKey, sig)))
  if (publisher) return publisher
  if (hint && claimed.length > 0)
    throw new TrustError(
      'SignatureInvalid',
      `A signature on ${digest} claims the key of ${claimed[0]?.name} but does not verify with it: it was changed.`,
    )
  throw new TrustError(
    'SignatureWrongKey',
    `A signature on ${digest} was made with a key that no named publisher has (${hint ? `hint ${hint.slice(0, 64)}` : 'no hint'}).`,
  )
}

function readPlain(bytes: Uint8Array, digest: string) {
  if (bytes.length > maxSignatureBytes)
    throw new TrustError('SignatureInvalid', `A signature on ${digest} is larger than ${maxSignatureBytes} bytes.`)
  try {
    return readSigstoreBundle(bytes, digest, '')
  } catch (error) {
    if (error instanceof TrustError && error.code === 'UnknownFormat') throw new TrustError('SignatureInvalid', error.message, error)
    throw error
  }
}
