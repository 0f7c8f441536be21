/**
 * Why a value cannot be sealed or unsealed.
 *
 * - `ValueInvalid`: what is to be sealed is empty, too long, or no text.
 * - `KeyInvalid`: a key is not one that Muster makes (ECDH on P-256), or it is damaged.
 * - `Malformed`: what is to be unsealed is no sealed value.
 * - `Misplaced`: it was sealed for another cluster, release or parameter.
 * - `UnknownKey`: it was sealed to a key that is not here: that of another cluster, or one that was lost or is long retired.
 * - `Damaged`: it was changed after it was sealed.
 */
export type SealErrorCode = 'ValueInvalid' | 'KeyInvalid' | 'Malformed' | 'Misplaced' | 'UnknownKey' | 'Damaged'

/** Thrown by this package. None passes by itself. No message holds a value. */
export class SealError extends Error {
  override readonly name = 'SealError'
  readonly transient = false
  readonly code: SealErrorCode

  constructor(code: SealErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
