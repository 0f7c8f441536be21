/**
 * - `Invalid`: it is no expression, or gives another type than is asked for. Correct it.
 * - `Missing`: it asks for a field that is not there. It may come; `has()` asks without failing.
 * - `Failed`: it cannot be answered of what it was given: wrong types, too deep, or it takes too long.
 */
export type CelErrorCode = 'Invalid' | 'Missing' | 'Failed'

/** The message says why, without the expression: whoever asks knows it. */
export class CelError extends Error {
  override readonly name = 'CelError'
  readonly code: CelErrorCode
  readonly transient: boolean

  constructor(code: CelErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
    this.transient = code === 'Missing'
  }
}
