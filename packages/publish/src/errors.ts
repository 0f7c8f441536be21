/** What went wrong while something was published. What building, bundling, signing and pushing say comes through as it is. */
export type PublishErrorCode =
  /** An image that was to be published is not in its layout. */
  | 'ImageMissing'
  /** A parameter of bundle.yaml leads nowhere, or has a schema or a default that does not fit. */
  | 'ParametersInvalid'

/** Thrown by this package. It does not pass by itself. */
export class PublishError extends Error {
  override readonly name = 'PublishError'
  readonly transient = false
  readonly code: PublishErrorCode

  constructor(code: PublishErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
