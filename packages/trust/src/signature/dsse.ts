import * as z from 'zod'
import { TrustError } from '../errors.ts'

export const statementPayloadType = 'application/vnd.in-toto+json'

/** Base64 that is exactly what its bytes encode to: Node's decoder skips what it does not know. */
export const base64 = z.string().transform((text, context) => {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) context.addIssue('not canonical base64')
  return bytes
})

/** DSSE v1 (github.com/secure-systems-lab/dsse, envelope.md). */
export const dsseSchema = z.strictObject({
  payload: base64,
  payloadType: z.string().max(256),
  signatures: z
    .array(z.strictObject({ sig: base64, keyid: z.string().max(512).optional(), cert: z.string().optional() }))
    .min(1)
    .max(64),
})

export type Dsse = z.infer<typeof dsseSchema>

/**
 * Demands one signature over an in-toto statement. An envelope with several, of which one is good, is refused whole: tools disagree
 * on what it means.
 * @throws TrustError `UnknownFormat`
 */
export function demandStatementEnvelope({ payloadType, signatures }: Dsse, what: string): void {
  if (payloadType !== statementPayloadType)
    throw new TrustError(
      'UnknownFormat',
      `${what} has the payload type ${JSON.stringify(payloadType)}; only in-toto statements (${statementPayloadType}) are read.`,
    )
  if (signatures.length !== 1)
    throw new TrustError(
      'UnknownFormat',
      `${what} has ${signatures.length} signatures in one envelope; exactly one is read. Attach one envelope for each signer.`,
    )
}

/** DSSE v1 pre-authentication encoding (github.com/secure-systems-lab/dsse, protocol.md): what is signed. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload])
}
