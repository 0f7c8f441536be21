import * as z from 'zod'
import { refusing, TrustError } from '../errors.ts'

/** in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md). */
const statementType = 'https://in-toto.io/Statement/v1'

/** What cosign 3 names a plain signature, as opposed to an attestation about the artifact. */
export const signPredicateType = 'https://sigstore.dev/cosign/sign/v1'

export const statementPayloadType = 'application/vnd.in-toto+json'

const digestPattern = /^sha256:[0-9a-f]{64}$/

const statementSchema = z.object({
  _type: z.literal(statementType),
  subject: z.tuple([z.object({ digest: z.record(z.string(), z.string()), annotations: z.record(z.string(), z.unknown()).optional() })]),
  predicateType: z.literal(signPredicateType),
  predicate: z.record(z.string(), z.unknown()).optional(),
})

/** The statement that a signature on `digest` (`sha256:…`) signs, as cosign 3 writes it: always with annotations, even when none. */
export function statementFor(digest: string, annotations: Readonly<Record<string, string>>): Uint8Array {
  if (!digestPattern.test(digest))
    throw new TrustError('SignatureInvalid', `Only a digest sha256:<64 hex digits> can be signed, not ${digest}.`)
  return Buffer.from(
    JSON.stringify({
      _type: statementType,
      subject: [{ digest: { sha256: digest.slice('sha256:'.length) }, annotations }],
      predicateType: signPredicateType,
      predicate: {},
    }),
  )
}

/** The predicate type that a payload claims, or nothing when it is not JSON with one. Unverified: good only for setting it aside. */
export function claimedPredicateType(payload: Uint8Array): string | undefined {
  try {
    return z.object({ predicateType: z.string() }).parse(JSON.parse(Buffer.from(payload).toString('utf8'))).predicateType
  } catch {
    return undefined
  }
}

/**
 * Demands of a payload, whose signature was verified, that it signs `digest` and nothing else.
 * @throws TrustError `SignatureInvalid`
 */
export function demandStatementOf(payload: Uint8Array, digest: string): void {
  const statement = refusing(
    'SignatureInvalid',
    `A signature on ${digest} is over something that is not an in-toto statement of one signed artifact.`,
    () => statementSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))),
  )
  const signed = `sha256:${statement.subject[0].digest['sha256'] ?? ''}`
  if (signed !== digest)
    throw new TrustError(
      'SignatureInvalid',
      `A signature attached to ${digest} names another artifact, ${signed}. Someone moved it: sign this artifact.`,
    )
}
