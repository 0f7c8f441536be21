import * as z from 'zod'
import { refusing, TrustError } from '../errors.ts'
import { keyHint, signBytes, verifyBytes } from '../keys/keys.ts'
import { claimedPredicateType, demandStatementOf, signPredicateType, statementFor, statementPayloadType } from './statement.ts'

/** Sigstore bundle v0.3 (github.com/sigstore/protobuf-specs, sigstore_bundle.proto), in its JSON form. */
export const sigstoreBundleMediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json'

/** A larger signature is not read. */
export const maxSignatureBytes = 1024 * 1024

/** Someone whose signatures count: a name of one's own choice and a public key (SPKI, PEM). */
export interface Publisher {
  readonly name: string
  readonly publicKey: string
}

/** A bundle with one signature by a key, in the order of fields that cosign writes. */
export interface SigstoreBundleJson {
  readonly mediaType: typeof sigstoreBundleMediaType
  readonly verificationMaterial: { readonly publicKey: { readonly hint: string } }
  readonly dsseEnvelope: {
    readonly payload: string
    readonly payloadType: typeof statementPayloadType
    readonly signatures: readonly [{ readonly sig: string }]
  }
}

/** Base64 that is exactly what its bytes encode to: Node's decoder skips what it does not know. */
const base64 = z.string().transform((text, context) => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) context.addIssue('not canonical base64')
  return bytes
})

// Every field of v0.3 that can stand beside a DSSE envelope is listed, so that what is unknown is refused rather than skipped.
const bundleSchema = z.strictObject({
  mediaType: z.literal(sigstoreBundleMediaType),
  verificationMaterial: z.strictObject({
    publicKey: z.strictObject({ hint: z.string().optional() }).optional(),
    certificate: z.unknown().optional(),
    x509CertificateChain: z.unknown().optional(),
    tlogEntries: z.array(z.unknown()).optional(),
    timestampVerificationData: z.unknown().optional(),
  }),
  dsseEnvelope: z.strictObject({
    payload: base64,
    payloadType: z.literal(statementPayloadType),
    signatures: z.tuple([z.strictObject({ sig: base64, keyid: z.string().optional() })]),
  }),
})

export interface SignOptions {
  /** `sha256:…` of the artifact's manifest or index. */
  readonly digest: string
  readonly privateKey: string
  readonly publicKey: string
  /** Signed with it, under the subject, as `cosign sign -a`. */
  readonly annotations?: Readonly<Record<string, string>>
}

/**
 * Signs a digest as cosign 3 does with a key and no transparency log: DSSE over an in-toto statement.
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`, `SignatureInvalid` (the keys are no pair, or the digest is none)
 */
export function signDigest({ digest, privateKey, publicKey, annotations = {} }: SignOptions): SigstoreBundleJson {
  const payload = statementFor(digest, annotations)
  const signed = preAuthEncoding(statementPayloadType, payload)
  const signature = signBytes(signed, privateKey)
  if (!verifyBytes(signed, publicKey, signature))
    throw new TrustError('SignatureInvalid', 'The public key does not belong to the private key. Give both halves of one pair.')
  return {
    mediaType: sigstoreBundleMediaType,
    verificationMaterial: { publicKey: { hint: keyHint(publicKey) } },
    dsseEnvelope: {
      payload: Buffer.from(payload).toString('base64'),
      payloadType: statementPayloadType,
      signatures: [{ sig: signature.toString('base64') }],
    },
  }
}

/**
 * Checks one signature, and says whose it is; nothing when it is an attestation (SBOM, provenance, …) and no signature.
 * Pure. Only keys count: of a certificate it is said that no trusted key made it.
 * @throws TrustError `SignatureWrongKey`, `SignatureInvalid`
 */
export function verifySigstoreBundle(bytes: Uint8Array, digest: string, publishers: readonly Publisher[]): Publisher | undefined {
  const { verificationMaterial, dsseEnvelope } = parse(bytes, digest)
  const predicateType = claimedPredicateType(dsseEnvelope.payload)
  if (predicateType !== undefined && predicateType !== signPredicateType) return undefined
  const { publicKey } = verificationMaterial
  if (!publicKey)
    throw new TrustError(
      'SignatureWrongKey',
      `A signature on ${digest} was made with a certificate; only keys of the named publishers count here.`,
    )

  // The hint only narrows the search: it is not signed, so it proves nothing.
  const { hint } = publicKey
  const claimed = hint ? publishers.filter((publisher) => keyHint(publisher.publicKey) === hint) : publishers
  const signed = preAuthEncoding(dsseEnvelope.payloadType, dsseEnvelope.payload)
  const publisher = claimed.find((one) => verifyBytes(signed, one.publicKey, dsseEnvelope.signatures[0].sig))
  if (!publisher) {
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
  demandStatementOf(dsseEnvelope.payload, digest)
  return publisher
}

function parse(bytes: Uint8Array, digest: string): z.infer<typeof bundleSchema> {
  if (bytes.length > maxSignatureBytes)
    throw new TrustError('SignatureInvalid', `A signature on ${digest} is larger than ${maxSignatureBytes} bytes.`)
  return refusing(
    'SignatureInvalid',
    `A signature on ${digest} is not a Sigstore bundle v0.3 with a DSSE envelope. Sign with cosign 3 or Muster.`,
    () => bundleSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))),
  )
}

/** DSSE v1 pre-authentication encoding (github.com/secure-systems-lab/dsse, protocol.md). */
function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload])
}
