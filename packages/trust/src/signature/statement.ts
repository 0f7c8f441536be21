import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { isPlain, looksLikeOther, parseBounded } from './bounded-json.ts'
import type { SignatureClaims } from './envelope.ts'

/** in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md): what is written. */
const statementType = 'https://in-toto.io/Statement/v1'

/** Read too: cosign still writes v0.1 for attestations (spec/v0.1.0). */
const statementTypes: readonly string[] = [statementType, 'https://in-toto.io/Statement/v0.1']

/** What cosign 3 names a plain signature, as opposed to an attestation about the artifact. */
export const signPredicateType = 'https://sigstore.dev/cosign/sign/v1'

/** A larger statement is neither made nor read: room for the SBOM of a large image. */
export const maxStatementBytes = 12 * 1024 * 1024

const maxSubjects = 1024
const digestPattern = /^sha256:[0-9a-f]{64}$/

const statementSchema = z.object({
  _type: z.string(),
  subject: z
    .array(
      z.object({
        name: z.string().optional(),
        digest: z.record(z.string(), z.string()),
        annotations: z.record(z.string(), z.unknown()).optional(),
      }),
    )
    .min(1)
    .max(maxSubjects),
  predicateType: z.string(),
  predicate: z.unknown().optional(),
})

export interface StatementContent {
  /** `sha256:…` of the artifact's manifest or index. */
  readonly digest: string
  /** Default: a plain signature. */
  readonly predicateType?: string
  readonly predicate?: unknown
  /** Signed with it, under the subject, as `cosign sign -a`. */
  readonly annotations?: Readonly<Record<string, string>> | undefined
}

/**
 * The statement about `digest`, as cosign 3 writes it. A plain signature always has annotations, even when none.
 * @throws TrustError `StatementInvalid`
 */
export function statementFor({ digest, predicateType = signPredicateType, predicate = {}, annotations }: StatementContent): Uint8Array {
  if (!digestPattern.test(digest))
    throw new TrustError('StatementInvalid', `Only a digest sha256:<64 hex digits> can be signed, not ${digest}.`)
  if (!isPlain(predicateType))
    throw new TrustError('StatementInvalid', `${JSON.stringify(predicateType)} is no predicate type: give a URI in plain ASCII.`)
  demandAnnotations(annotations ?? {})
  const subject = { digest: { sha256: digest.slice('sha256:'.length) } }
  const signature = predicateType === signPredicateType
  const bytes = Buffer.from(
    JSON.stringify({
      _type: statementType,
      subject: [annotations || signature ? { ...subject, annotations: annotations ?? {} } : subject],
      predicateType,
      predicate,
    }),
  )
  if (bytes.length > maxStatementBytes)
    throw new TrustError('StatementInvalid', `The statement has ${bytes.length} bytes; at most ${maxStatementBytes} can be signed.`)
  return bytes
}

/** @throws TrustError `StatementInvalid` for annotations that cannot be told from others by sight */
export function demandAnnotations(annotations: Readonly<Record<string, string>>): void {
  const confusing = Object.entries(annotations).find(([key, value]) => !isPlain(key) || looksLikeOther(value))
  if (confusing)
    throw new TrustError(
      'StatementInvalid',
      `The annotation ${JSON.stringify(confusing[0])} has characters that are not seen or look like others: use plain ASCII for its name.`,
    )
}

/** The predicate type of a statement that was made here. */
export function predicateTypeOf(payload: Uint8Array): string {
  return z.object({ predicateType: z.string() }).parse(JSON.parse(Buffer.from(payload).toString('utf8'))).predicateType
}

/**
 * What a statement claims of `digest`. The signature over it is not verified here.
 * @param what how the sentence of a refusal begins
 * @throws TrustError `UnknownFormat`: no statement. `SignatureInvalid`: about another artifact.
 */
export function readStatement(payload: Uint8Array, digest: string, what: string): SignatureClaims {
  const parsed = statementSchema.safeParse(parseBounded(payload, { limit: maxStatementBytes, what: `The statement of ${lower(what)}` }))
  if (!parsed.success || !statementTypes.includes(parsed.data._type))
    throw new TrustError('UnknownFormat', `${what} is over something that is not an in-toto statement v1 or v0.1.`, parsed.error)
  const { subject, predicateType, predicate } = parsed.data
  if (!isPlain(predicateType))
    throw new TrustError('UnknownFormat', `${what} has a predicate type that is no URI in plain ASCII: ${JSON.stringify(predicateType)}.`)
  const isSignature = predicateType === signPredicateType
  if (isSignature && (parsed.data._type !== statementType || subject.length !== 1 || !isObject(predicate ?? {})))
    throw new TrustError('UnknownFormat', `${what} is not over a statement of one signed artifact.`)
  const named = subject.find((one) => `sha256:${one.digest['sha256'] ?? ''}` === digest)
  if (named === undefined) {
    const other = subject[0]?.digest['sha256']
    throw new TrustError(
      'SignatureInvalid',
      `${what} names another artifact, ${other !== undefined && /^[0-9a-f]{64}$/.test(other) ? `sha256:${other}` : 'by no SHA-256 digest'}. Someone moved it: sign this artifact.`,
    )
  }
  const { annotations } = named
  if (annotations) demandClearNames(Object.keys(annotations), what)
  return { digest, predicateType, ...(predicate === undefined ? {} : { predicate }), ...(annotations ? { annotations } : {}) }
}

/** @throws TrustError `UnknownFormat` */
export function demandClearNames(names: readonly string[], what: string): void {
  const confusing = names.find(looksLikeOther)
  if (confusing !== undefined)
    throw new TrustError('UnknownFormat', `${what} has an annotation whose name looks like another: ${escaped(confusing)}.`)
}

/** As JSON with everything outside ASCII escaped: what a person can tell apart. */
function escaped(text: string): string {
  return JSON.stringify(text.slice(0, 100)).replaceAll(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function lower(what: string): string {
  return what.charAt(0).toLowerCase() + what.slice(1)
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
