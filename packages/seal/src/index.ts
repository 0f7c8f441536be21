export { SealError, type SealErrorCode } from './errors.ts'
export { maxSealedLength, maxValueBytes, readSealed, type SealedHeader } from './header.ts'
export {
  createSealingKey,
  keyIdSchema,
  type PrivateSealingKey,
  type PublicSealingKey,
  publicHalf,
  publicKeySchema,
  readPublicKey,
} from './key.ts'
export { formatKeyring, type Keyring, newKeyDue, parseKeyring, type StoredKey, withNewKey, withoutUnused } from './keyring.ts'
export { describePlace, type Place } from './place.ts'
export { seal } from './seal.ts'
export { unseal } from './unseal.ts'
