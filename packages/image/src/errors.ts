/** What stopped a build. */
export type ImageErrorCode =
  /** The recipe's text is not YAML, or says something a recipe cannot say. */
  | 'RecipeInvalid'
  /** The recipe's file is not there or cannot be read. */
  | 'RecipeNotFound'
  /** A file, folder, module or package that the recipe names is not there. */
  | 'SourceNotFound'
  /** A path in the recipe leaves the folder it must stay in. */
  | 'PathOutside'
  /** A program of the host that the build needs is not installed. */
  | 'ToolMissing'
  /** A program of the host ran and failed: compiler, bundler, package manager. */
  | 'BuildFailed'
  /** A program of the host did not end within its deadline. */
  | 'BuildTimeout'
  /** A download failed: module, Debian package, npm package. May pass. */
  | 'DownloadFailed'
  /** What came does not have the checksum it must have. */
  | 'ChecksumMismatch'
  /** A binary that would not start in this image: not static, another processor, no program at all. */
  | 'BinaryUnfit'
  /** A file changed while it was packed. May pass. */
  | 'SourceChanged'
  /** The image asked for cannot be built here: platform, distribution. */
  | 'Unsupported'

/** A place in a file, lines and columns counted from 1. */
export interface SourceLocation {
  readonly file: string
  readonly line: number
  readonly column: number
}

const transientCodes: readonly ImageErrorCode[] = ['DownloadFailed', 'SourceChanged', 'BuildTimeout']

/** Thrown by this package. `transient`: trying the same again may work. `location` is there for mistakes in a recipe. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
  readonly code: ImageErrorCode
  readonly transient: boolean
  readonly location: SourceLocation | undefined

  constructor(code: ImageErrorCode, message: string, options: { cause?: unknown; location?: SourceLocation } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = transientCodes.includes(code)
    this.location = options.location
  }
}
