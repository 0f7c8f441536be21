import { calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK } from 'jose'
import * as z from 'zod'
import { SealError } from './errors.ts'

/** A coordinate or a private scalar of P-256: 32 bytes, base64url (RFC 7518, 6.2). */
const number = z.string().regex(/^[A-Za-z0-9_-]{43}$/)

/** The thumbprint of a key (RFC 7638, SHA-256), base64url. */
export const keyIdSchema = number

const point = { kty: z.literal('EC'), crv: z.literal('P-256'), x: number, y: number }

/** The public half of an ephemeral key, as it stands in a sealed value. */
export const ephemeralKeySchema = z.strictObject(point)

/** A public key that values are sealed to, as a JWK whose `kid` is its thumbprint. */
export const publicKeySchema = z.strictObject({ ...point, kid: keyIdSchema })
export type PublicSealingKey = z.infer<typeof publicKeySchema>

export const privateKeySchema = z.strictObject({ ...point, kid: keyIdSchema, d: number })
/** A private key, as a JWK. It stays in the cluster where it was made. */
export type PrivateSealingKey = z.infer<typeof privateKeySchema>

/** Makes a key for ECDH on P-256 (NIST SP 800-56A), the only kind that Muster makes. */
export async function createSealingKey(): Promise<PrivateSealingKey> {
  const { privateKey } = await generateKeyPair('ECDH-ES', { crv: 'P-256', extractable: true })
  const { kty, crv, x, y, d } = await exportJWK(privateKey)
  const kid = await calculateJwkThumbprint({ kty: kty ?? '', crv: crv ?? '', x: x ?? '', y: y ?? '' })
  return privateKeySchema.parse({ kty, crv, x, y, d, kid })
}

export function publicHalf({ kty, crv, x, y, kid }: PrivateSealingKey): PublicSealingKey {
  return { kty, crv, x, y, kid }
}

/**
 * Reads a public key that came from elsewhere: its form, that it is a point of the curve, and that its name is its thumbprint.
 * @throws SealError `KeyInvalid`
 */
export async function readPublicKey(value: unknown): Promise<PublicSealingKey> {
  const read = publicKeySchema.safeParse(value)
  if (!read.success) throw new SealError('KeyInvalid', `This is no key to seal to: ${z.prettifyError(read.error).slice(0, 500)}`)
  await usable(read.data)
  return read.data
}

/** @throws SealError `KeyInvalid` */
export async function usable(key: PublicSealingKey | PrivateSealingKey): Promise<void> {
  const { kty, crv, x, y, kid } = key
  if ((await calculateJwkThumbprint({ kty, crv, x, y })) !== kid)
    throw new SealError(
      'KeyInvalid',
      `The key that is called ${kid} has another thumbprint: it was changed. Get it again from its cluster.`,
    )
  try {
    await importJWK(key, 'ECDH-ES')
  } catch (cause) {
    throw new SealError('KeyInvalid', `The key ${kid} is no point of the curve P-256. Get it again from its cluster.`, cause)
  }
}
