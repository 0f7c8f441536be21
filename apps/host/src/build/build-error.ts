export type BuildErrorCode =
  | 'RecipeInvalid'
  | 'Unsupported'
  | 'ToolMissing'
  | 'ToolFailed'
  | 'Timeout'
  | 'Aborted'
  | 'OutputTooLarge'
  | 'ChecksumsMissing'
  | 'ChecksumsInvalid'
  | 'ChecksumMismatch'
  | 'BinaryMissing'
  | 'BinarySetIncomplete'
  | 'VersionMismatch'
  | 'InsecureUrl'
  | 'DownloadFailed'
  | 'TooLarge'

/** Thrown by everything that makes the embedded distribution. `transient` says whether the same call may succeed later. */
export class BuildError extends Error {
  override readonly name = 'BuildError'
  readonly code: BuildErrorCode
  readonly transient: boolean

  constructor(code: BuildErrorCode, message: string, options: { transient?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? false
  }
}
