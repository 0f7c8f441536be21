import * as z from 'zod'
import { SealError } from './errors.ts'
import { ephemeralKeySchema, keyIdSchema } from './key.ts'

/** Longest value, in bytes of UTF-8. */
export const maxValueBytes = 65_536
/** Longest sealed value, in characters. */
export const maxSealedLength = 131_072
const maxHeaderLength = 4_096

export const sealedType = 'muster-sealed+jwe'

/**
 * The protected header of a sealed value (RFC 7516, compact serialization). It says where the value belongs; as additional
 * authenticated data it cannot be changed without the value becoming unreadable. Nothing but what stands here is understood.
 */
export const headerSchema = z.strictObject({
  alg: z.literal('ECDH-ES'),
  enc: z.literal('A256GCM'),
  typ: z.literal(sealedType),
  kid: keyIdSchema,
  epk: ephemeralKeySchema,
  cluster: z.string().min(1).max(63),
  release: z.string().min(1).max(63),
  parameter: z.string().min(1).max(128),
})
export type SealedHeader = z.infer<typeof headerSchema>

const base64url = /^[A-Za-z0-9_-]+$/

/**
 * Reads what a sealed value says of itself, without any key: to which key it was sealed, and for what.
 * It is not verified: only unsealing tells whether it is true.
 * @throws SealError `Malformed`
 */
export function readSealed(text: string): SealedHeader {
  if (text.length > maxSealedLength) throw malformed(`it has ${text.length} characters, more than ${maxSealedLength}`)
  const parts = text.split('.', 6)
  const [header = '', key = '', iv = '', ciphertext = '', tag = ''] = parts
  if (parts.length !== 5) throw malformed('it does not have the five parts of a JWE in compact form')
  if (key !== '') throw malformed('it carries an encrypted key, which ECDH-ES has none of')
  // 96 bits of nonce and 128 bits of tag (RFC 7518, 5.3).
  const whole = iv.length === 16 && tag.length === 22 && [header, iv, ciphertext, tag].every((part) => base64url.test(part))
  if (!whole || header.length > maxHeaderLength) throw malformed('one of its parts is not what AES-GCM in a JWE has')
  let said: unknown
  try {
    said = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(header, 'base64url')))
  } catch (cause) {
    throw malformed('its header cannot be read', cause)
  }
  const read = headerSchema.safeParse(said)
  if (!read.success) throw malformed(`its header is another: ${z.prettifyError(read.error).slice(0, 500)}`)
  return read.data
}

export function malformed(why: string, cause?: unknown): SealError {
  return new SealError('Malformed', `This is no value that "muster seal" made: ${why}. Seal it again.`, cause)
}
