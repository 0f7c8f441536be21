import { CompactEncrypt, importJWK } from 'jose'
import { SealError } from './errors.ts'
import { maxSealedLength, maxValueBytes, sealedType } from './header.ts'
import { type PublicSealingKey, usable } from './key.ts'
import type { Place } from './place.ts'

/**
 * Seals a text to a cluster's key, for one parameter of one release there: a JWE in compact form (RFC 7516) with ECDH-ES on P-256 and
 * AES-256-GCM. The same text sealed twice looks different each time.
 * @throws SealError `ValueInvalid`, `KeyInvalid`
 */
export async function seal(value: string, { cluster, release, parameter }: Place, key: PublicSealingKey): Promise<string> {
  if (!value.isWellFormed()) throw new SealError('ValueInvalid', 'The value is no text that UTF-8 can write.')
  const bytes = new TextEncoder().encode(value)
  if (bytes.length === 0) throw new SealError('ValueInvalid', 'There is nothing to seal: the value is empty.')
  if (bytes.length > maxValueBytes)
    throw new SealError('ValueInvalid', `The value has ${bytes.length} bytes; at most ${maxValueBytes} can be sealed.`)
  await usable(key)
  const sealed = await new CompactEncrypt(bytes)
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', typ: sealedType, kid: key.kid, cluster, release, parameter })
    .encrypt(await importJWK(key, 'ECDH-ES'))
  if (sealed.length > maxSealedLength) throw new SealError('ValueInvalid', 'The value is too long to be sealed.')
  return sealed
}
