import type { Descriptor } from '@muster/oci'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { parseBounded } from './bounded-json.ts'
import { base64, demandStatementEnvelope, dsseSchema, preAuthEncoding } from './dsse.ts'
import type { SignatureClaims, SignedEnvelope, SigningMaterial } from './envelope.ts'
import { demandClearNames, readStatement } from './statement.ts'

/** cosign's older formats (github.com/sigstore/cosign, specs/SIGNATURE_SPEC.md, ATTESTATION_SPEC.md): media types of their layers. */
export const simpleSigningMediaType = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const dsseMediaType = 'application/vnd.dsse.envelope.v1+json'

/** Annotations of those layers. */
export const signatureAnnotation = 'dev.cosignproject.cosign/signature'
export const predicateTypeLayerAnnotation = 'predicateType'
export const certificateAnnotation = 'dev.sigstore.cosign/certificate'
export const chainAnnotation = 'dev.sigstore.cosign/chain'
const logAnnotation = 'dev.sigstore.cosign/bundle'
export const timestampAnnotation = 'dev.sigstore.cosign/rfc3161timestamp'

export const simpleSigningType = 'cosign container image signature'

/** Larger payloads of simple signing are not read: they hold a digest and annotations. */
export const maxSimpleSigningBytes = 1024 * 1024

const simpleSigningSchema = z.object({
  critical: z.strictObject({
    identity: z.object({ 'docker-reference': z.string().optional() }),
    image: z.object({ 'docker-manifest-digest': z.string() }),
    type: z.string(),
  }),
  optional: z.record(z.string(), z.unknown()).nullish(),
})

/**
 * Reads a layer of a `.sig` tag. Pure; nothing is verified yet.
 * @throws TrustError `UnknownFormat`, `SignatureInvalid` (of another artifact)
 */
export function readCosignSignature(payload: Uint8Array, layer: Descriptor, digest: string, referrer: string): SignedEnvelope {
  const what = `A signature on ${digest}`
  const parsed = simpleSigningSchema.safeParse(parseBounded(payload, { limit: maxSimpleSigningBytes, what }))
  if (!parsed.success || parsed.data.critical.type !== simpleSigningType)
    throw new TrustError('UnknownFormat', `${what} is not over a payload of cosign's simple signing.`, parsed.error)
  const signed = parsed.data.critical.image['docker-manifest-digest']
  if (signed !== digest)
    throw new TrustError(
      'SignatureInvalid',
      `${what} names another artifact, ${JSON.stringify(signed.slice(0, 80))}. Someone moved it: sign this artifact.`,
    )
  const signature = base64.safeParse(layer.annotations?.[signatureAnnotation])
  if (!signature.success || signature.data.length === 0)
    throw new TrustError('UnknownFormat', `${what} has no signature in the annotation ${signatureAnnotation}.`)
  const annotations = parsed.data.optional ?? undefined
  if (annotations) demandClearNames(Object.keys(annotations), what)
  const claims: SignatureClaims = { digest, ...(annotations ? { annotations } : {}) }
  return {
    format: 'cosign-signature',
    referrer,
    payloadType: simpleSigningMediaType,
    payload,
    signed: payload,
    signatures: [{ sig: signature.data }],
    material: materialOf(layer, what),
    claims,
  }
}

/**
 * Reads a layer of an `.att` tag. Pure; nothing is verified yet.
 * @throws TrustError `UnknownFormat`, `SignatureInvalid` (about another artifact)
 */
export function readCosignAttestation(
  bytes: Uint8Array,
  layer: Descriptor,
  digest: string,
  referrer: string,
  limit: number,
): SignedEnvelope {
  const what = `An attestation on ${digest}`
  const parsed = dsseSchema.safeParse(parseBounded(bytes, { limit, what }))
  if (!parsed.success) throw new TrustError('UnknownFormat', `${what} is not a DSSE envelope.`, parsed.error)
  demandStatementEnvelope(parsed.data, what)
  const { payload, payloadType, signatures } = parsed.data
  return {
    format: 'cosign-attestation',
    referrer,
    payloadType,
    payload,
    signed: preAuthEncoding(payloadType, payload),
    signatures: signatures.map(({ sig, keyid }) => ({ sig, ...(keyid ? { keyid } : {}) })),
    material: materialOf(layer, what),
    claims: readStatement(payload, digest, what),
  }
}

const logSchema = z.object({
  SignedEntryTimestamp: base64,
  Payload: z.object({ body: z.string(), integratedTime: z.int(), logIndex: z.int(), logID: z.string().regex(/^[0-9a-f]{64}$/) }),
})
const timestampSchema = z.object({ SignedRFC3161Timestamp: base64 })
const entrySchema = z.object({ kind: z.string(), apiVersion: z.string() })

function materialOf({ annotations = {} }: Descriptor, what: string): SigningMaterial {
  const certificates = [annotations[certificateAnnotation], annotations[chainAnnotation]].flatMap((pem) =>
    pem ? pemBlocks(pem, what) : [],
  )
  const log = annotations[logAnnotation]
  const timestamp = annotations[timestampAnnotation]
  return {
    ...(certificates.length > 0 ? { certificates } : {}),
    ...(log ? { tlogEntries: [logEntry(log, what)] } : {}),
    ...(timestamp ? { timestamps: [read(timestampSchema, timestamp, `The time stamp of ${what}`).SignedRFC3161Timestamp] } : {}),
  }
}

function pemBlocks(pem: string, what: string): string[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0 || blocks.length > 16)
    throw new TrustError('UnknownFormat', `${what} has annotations with no certificate in PEM.`)
  return blocks
}

/** What Rekor answered cosign, in the JSON form of sigstore_rekor.proto's TransparencyLogEntry: an inclusion promise, no proof. */
function logEntry(text: string, what: string): unknown {
  const { SignedEntryTimestamp, Payload } = read(logSchema, text, `The log entry of ${what}`)
  const { kind, apiVersion } = read(entrySchema, Buffer.from(Payload.body, 'base64').toString('utf8'), `The log entry of ${what}`)
  return {
    logIndex: String(Payload.logIndex),
    logId: { keyId: Buffer.from(Payload.logID, 'hex').toString('base64') },
    kindVersion: { kind, version: apiVersion },
    integratedTime: String(Payload.integratedTime),
    inclusionPromise: { signedEntryTimestamp: SignedEntryTimestamp.toString('base64') },
    canonicalizedBody: Payload.body,
  }
}

function read<T>(schema: z.ZodType<T>, text: string, what: string): T {
  const parsed = schema.safeParse(parseBounded(Buffer.from(text), { limit: maxSimpleSigningBytes, what }))
  if (!parsed.success) throw new TrustError('UnknownFormat', `${what} is not what Sigstore's services answer.`, parsed.error)
  return parsed.data
}
