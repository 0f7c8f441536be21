import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { parseBounded } from './bounded-json.ts'
import { base64, demandStatementEnvelope, dsseSchema, preAuthEncoding } from './dsse.ts'
import type { SignedEnvelope, SigningMaterial } from './envelope.ts'
import { readStatement } from './statement.ts'

/** Sigstore bundle v0.3 (github.com/sigstore/protobuf-specs, sigstore_bundle.proto), in its JSON form. */
export const sigstoreBundleMediaType = 'application/vnd.dev.sigstore.bundle.v0.3+json'

/** All that are read: v0.3 in both its spellings, and the two before. */
export const sigstoreBundleMediaTypes: readonly string[] = [
  sigstoreBundleMediaType,
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
  'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'application/vnd.dev.sigstore.bundle+json;version=0.1',
]

/** A larger bundle is not read: room for the SBOM of a large image in base64. */
export const maxBundleBytes = 16 * 1024 * 1024

const rawBytes = z.strictObject({ rawBytes: base64 })
const certificates = z.array(rawBytes).min(1).max(16)

/** Every field is listed, so that what is unknown is refused rather than skipped. */
export const verificationMaterialSchema = z.strictObject({
  publicKey: z.strictObject({ hint: z.string().max(512).optional() }).optional(),
  certificate: rawBytes.optional(),
  x509CertificateChain: z.strictObject({ certificates }).optional(),
  tlogEntries: z.array(z.unknown()).max(64).nullish(),
  timestampVerificationData: z
    .strictObject({
      rfc3161Timestamps: z
        .array(z.strictObject({ signedTimestamp: base64 }))
        .max(64)
        .optional(),
    })
    .nullish(),
})

const bundleSchema = z.strictObject({
  mediaType: z.string().refine((type) => sigstoreBundleMediaTypes.includes(type)),
  verificationMaterial: verificationMaterialSchema,
  dsseEnvelope: dsseSchema,
})

/**
 * Reads a Sigstore bundle, v0.1 to v0.3, that signs a statement about `digest`. Pure; nothing is verified yet.
 * @param referrer digest of the manifest that it came with
 * @throws TrustError `UnknownFormat`, `SignatureInvalid` (about another artifact)
 */
export function readSigstoreBundle(bytes: Uint8Array, digest: string, referrer: string): SignedEnvelope {
  const what = `A signature on ${digest}`
  const bundle = parseBounded(bytes, { limit: maxBundleBytes, what })
  const parsed = bundleSchema.safeParse(bundle)
  if (!parsed.success) throw new TrustError('UnknownFormat', `${what} ${whyNot(bundle)}`, parsed.error)
  const { verificationMaterial, dsseEnvelope } = parsed.data
  demandStatementEnvelope(dsseEnvelope, what)
  const { payload, payloadType, signatures } = dsseEnvelope
  return {
    format: 'sigstore-bundle',
    referrer,
    payloadType,
    payload,
    signed: preAuthEncoding(payloadType, payload),
    signatures: signatures.map(({ sig, keyid }) => ({ sig, ...(keyid ? { keyid } : {}) })),
    material: materialOf(verificationMaterial, what),
    bundle,
    claims: readStatement(payload, digest, what),
  }
}

/** @throws TrustError `UnknownFormat` where there is not exactly one of a key, a certificate and a chain */
export function materialOf(material: z.infer<typeof verificationMaterialSchema>, what: string): SigningMaterial {
  const { publicKey, certificate, x509CertificateChain, tlogEntries, timestampVerificationData } = material
  if ([publicKey, certificate, x509CertificateChain].filter((one) => one !== undefined).length !== 1)
    throw new TrustError('UnknownFormat', `${what} does not name exactly one of a key, a certificate and a chain of them.`)
  const chain = certificate ? [certificate] : x509CertificateChain?.certificates
  const timestamps = timestampVerificationData?.rfc3161Timestamps
  return {
    ...(publicKey?.hint ? { publicKeyHint: publicKey.hint } : {}),
    ...(chain ? { certificates: chain.map((one) => one.rawBytes.toString('base64')) } : {}),
    ...(tlogEntries?.length ? { tlogEntries } : {}),
    ...(timestamps?.length ? { timestamps: timestamps.map((one) => one.signedTimestamp) } : {}),
  }
}

function whyNot(bundle: unknown): string {
  const fields = z.object({ mediaType: z.string().max(200).optional(), messageSignature: z.unknown().optional() }).safeParse(bundle)
  const mediaType = fields.data?.mediaType
  if (mediaType !== undefined && !sigstoreBundleMediaTypes.includes(mediaType))
    return `says that it is ${JSON.stringify(mediaType)}; Sigstore bundles v0.1 to v0.3 are read.`
  if (fields.data?.messageSignature !== undefined)
    return 'is a Sigstore bundle over plain bytes (messageSignature); of artifacts in a registry those with a DSSE envelope are read.'
  return 'is not a Sigstore bundle with a DSSE envelope. Sign with cosign 3 or Muster.'
}
