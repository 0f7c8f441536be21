import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { parseBounded } from '../signature/bounded-json.ts'
import { materialOf, maxBundleBytes, sigstoreBundleMediaTypes, verificationMaterialSchema } from '../signature/bundle-reader.ts'
import { base64, dsseSchema, preAuthEncoding, statementPayloadType } from '../signature/dsse.ts'
import type { SigningMaterial } from '../signature/envelope.ts'
import { shown } from './identity.ts'

/** A Sigstore bundle over a file, read; nothing is verified yet. */
export type BlobBundle = MessageBundle | StatementBundle

interface ReadBundle {
  /** The JSON, as the Sigstore project's reader takes it. */
  readonly json: unknown
  readonly material: SigningMaterial
  readonly signature: Uint8Array
}

/** Over the file itself. */
export interface MessageBundle extends ReadBundle {
  readonly kind: 'message'
  /** What the bundle says that the file's digest is, where it says so. */
  readonly digest?: { readonly hash: FileHash; readonly value: Uint8Array } | undefined
}

/** Over an in-toto statement that names the file by its digest. */
export interface StatementBundle extends ReadBundle {
  readonly kind: 'statement'
  readonly payload: Uint8Array
  readonly signed: Uint8Array
  readonly predicateType: string
  readonly subjects: readonly Readonly<Partial<Record<FileHash, string>>>[]
}

export type FileHash = 'sha256' | 'sha384' | 'sha512'

const hashes: Readonly<Record<string, FileHash>> = { SHA2_256: 'sha256', SHA2_384: 'sha384', SHA2_512: 'sha512' }

const messageSchema = z.strictObject({
  messageDigest: z.strictObject({ algorithm: z.enum(['SHA2_256', 'SHA2_384', 'SHA2_512']), digest: base64 }).nullish(),
  signature: base64,
})

const bundleSchema = z.strictObject({
  mediaType: z.string().refine((type) => sigstoreBundleMediaTypes.includes(type)),
  verificationMaterial: verificationMaterialSchema,
  messageSignature: messageSchema.nullish(),
  dsseEnvelope: dsseSchema.nullish(),
})

const hex = z.string().max(128)
const statementSchema = z.object({
  _type: z.enum(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  subject: z
    .array(z.object({ digest: z.object({ sha256: hex.optional(), sha384: hex.optional(), sha512: hex.optional() }) }))
    .min(1)
    .max(4096),
  predicateType: z.string().max(512),
})

/**
 * Reads a Sigstore bundle, v0.1 to v0.3, over a file: a message signature, or a DSSE envelope with an in-toto statement.
 * @throws TrustError `UnknownFormat`
 */
export function readBlobBundle(bytes: Uint8Array): BlobBundle {
  const what = 'The bundle'
  const json = parseBounded(bytes, { limit: maxBundleBytes, what })
  const parsed = bundleSchema.safeParse(json)
  if (!parsed.success) throw new TrustError('UnknownFormat', `The bundle ${whyNot(json, parsed.error)}`, parsed.error)
  const { verificationMaterial, messageSignature, dsseEnvelope } = parsed.data
  const material = materialOf(verificationMaterial, what)
  if (messageSignature && !dsseEnvelope) {
    const { messageDigest, signature } = messageSignature
    const hash = hashes[messageDigest?.algorithm ?? '']
    return {
      kind: 'message',
      json,
      material,
      signature,
      ...(messageDigest && hash ? { digest: { hash, value: messageDigest.digest } } : {}),
    }
  }
  if (!dsseEnvelope || messageSignature)
    throw new TrustError('UnknownFormat', 'The bundle has not exactly one of a message signature and a DSSE envelope.')
  const { payload, payloadType, signatures } = dsseEnvelope
  const [first, ...more] = signatures
  if (!first || more.length > 0)
    throw new TrustError('UnknownFormat', `The bundle has ${signatures.length} signatures in one envelope where exactly one is read.`)
  if (payloadType !== statementPayloadType)
    throw new TrustError('UnknownFormat', `The bundle signs ${shown(payloadType)}, which names no file; in-toto statements do.`)
  const statement = statementSchema.safeParse(parseBounded(payload, { limit: maxBundleBytes, what: 'The statement of the bundle' }))
  if (!statement.success) throw new TrustError('UnknownFormat', 'The bundle signs something that is no in-toto statement.', statement.error)
  const { subject, predicateType } = statement.data
  return {
    kind: 'statement',
    json,
    material,
    signature: first.sig,
    payload,
    signed: preAuthEncoding(payloadType, payload),
    predicateType,
    subjects: subject.map(({ digest }) => ({
      ...(digest.sha256 === undefined ? {} : { sha256: digest.sha256 }),
      ...(digest.sha384 === undefined ? {} : { sha384: digest.sha384 }),
      ...(digest.sha512 === undefined ? {} : { sha512: digest.sha512 }),
    })),
  }
}

function whyNot(json: unknown, error: z.ZodError): string {
  const mediaType = z.object({ mediaType: z.string() }).safeParse(json).data?.mediaType
  if (mediaType === undefined) return 'is not a Sigstore bundle: it has no media type.'
  if (!sigstoreBundleMediaTypes.includes(mediaType)) return `says that it is ${shown(mediaType)}; Sigstore bundles v0.1 to v0.3 are read.`
  const [issue] = error.issues
  const where = issue?.path.join('.') || 'its top level'
  const keys = issue?.code === 'unrecognized_keys' ? ` (unknown: ${issue.keys.slice(0, 3).map(shown).join(', ')})` : ''
  return `is not as its version demands, at ${shown(where)}${keys}.`
}
