/** Why something was not relocated. What registries, layouts and archives say comes through as it is (OciError). */
export type RelocateErrorCode =
  /** After all was written, something of it is not at the target. */
  | 'Incomplete'
  /** What only carries changes needs something at the target that is not there. */
  | 'BaseMissing'
  /** A list of referrers names what does not refer to its subject. */
  | 'WrongSubject'
  /** More levels, manifests or blobs than are followed. */
  | 'TooLarge'
  /** The target cannot take this. */
  | 'Target'

/** Thrown by this package. It does not pass by itself. */
export class RelocateError extends Error {
  override readonly name = 'RelocateError'
  readonly transient = false
  readonly code: RelocateErrorCode

  constructor(code: RelocateErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
