/** Why a customization cannot be used. */
export type ProblemCode =
  /** A patch, target, selector or path is not written as one. */
  | 'Malformed'
  /** It changes nothing that is in the bundle. */
  | 'MatchesNothing'
  /** It matches, and does not fit what is there: a map where a list is, a test that fails, a path that leads nowhere. */
  | 'DoesNotFit'
  /** A parameter that the bundle does not have, or one that needs a value and has none. */
  | 'ParameterUnknown'
  | 'ParameterMissing'
  /** A value that the parameter's schema refuses, or a schema that is none. */
  | 'ValueInvalid'
  | 'SchemaInvalid'
  /** Two objects would be one. */
  | 'DuplicateObject'
  /** An image without a digest. */
  | 'ImageNotPinned'
  /** A site's overlay changes what the bundle's owner or a policy does not let a site change. */
  | 'NotAllowed'

/** One reason why a customization cannot be used, as a sentence that says whose it is and what to do. */
export interface Problem {
  readonly code: ProblemCode
  readonly message: string
}

/** Thrown inside this package while one customization is looked at; `customize` turns it into a {@link Problem}. */
export class OverlayError extends Error {
  override readonly name = 'OverlayError'
  readonly code: ProblemCode

  constructor(code: ProblemCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
  }
}
