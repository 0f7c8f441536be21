import { compactDecrypt, importJWK } from 'jose'
import { SealError } from './errors.ts'
import { maxValueBytes, readSealed, type SealedHeader } from './header.ts'
import type { PrivateSealingKey } from './key.ts'
import { describePlace, type Place } from './place.ts'

/**
 * Unseals a value, where it is for this very place and was sealed to one of these keys.
 * @throws SealError `Malformed`, `Misplaced`, `UnknownKey`, `Damaged`
 */
export async function unseal(sealed: string, place: Place, keys: readonly PrivateSealingKey[]): Promise<string> {
  const header = readSealed(sealed)
  demandPlace(header, place)
  const key = keys.find(({ kid }) => kid === header.kid)
  if (key === undefined) throw unknownKey(header, place, keys)
  let plaintext: Uint8Array
  try {
    const opened = await compactDecrypt(sealed, await importJWK(key, 'ECDH-ES'), {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
    })
    plaintext = opened.plaintext
  } catch (cause) {
    throw new SealError('Damaged', `The sealed value of ${describePlace(place)} was changed after it was sealed. Seal it again.`, cause)
  }
  if (plaintext.length > maxValueBytes) throw notText(place)
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plaintext)
  } catch (cause) {
    throw notText(place, cause)
  }
}

function demandPlace(header: SealedHeader, place: Place): void {
  const { cluster, release, parameter } = place
  if (header.cluster === cluster && header.release === release && header.parameter === parameter) return
  throw new SealError(
    'Misplaced',
    `The value given for ${describePlace(place)} was sealed for ${describePlace(header)}. Seal it for where it is used.`,
  )
}

function unknownKey(header: SealedHeader, place: Place, keys: readonly PrivateSealingKey[]): SealError {
  const held = keys.length === 0 ? 'no key' : keys.map(({ kid }) => kid).join(', ')
  return new SealError(
    'UnknownKey',
    `The value of ${describePlace(place)} was sealed to key ${header.kid}, which this cluster does not have; it has ${held}. Seal it again to the key of now.`,
  )
}

function notText(place: Place, cause?: unknown): SealError {
  return new SealError('Malformed', `What is sealed for ${describePlace(place)} is no text that "muster seal" takes. Seal it again.`, cause)
}
