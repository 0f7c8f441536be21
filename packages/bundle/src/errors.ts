/** What went wrong while a bundle was made or read. */
export type BundleErrorCode =
  /** bundle.yaml is missing, malformed, or says what cannot be. */
  | 'SourceInvalid'
  /** A manifest is no Kubernetes object, or holds what cannot be carried. */
  | 'ManifestInvalid'
  /** Two objects have one identity. */
  | 'DuplicateObject'
  /** An image has no source, or its source gives another digest. */
  | 'ImageUnresolved'
  /** Kustomize could not be run, or said no. */
  | 'KustomizeFailed'
  /** Helm could not be had or run, or said no; or the chart is none. */
  | 'HelmFailed'
  /** A chart that renders to something else each time. */
  | 'ChartNotDeterministic'
  /** An archive or folder holds what must not be unpacked: a path that leaves it, a link, a device. */
  | 'ArchiveUnsafe'
  /** A bundle that is included is another one than was said, or includes itself. */
  | 'NestedBundle'
  /** A kustomization names something outside this machine. */
  | 'RemoteResource'
  /** The Go module that holds the manifests could not be had, or is another one than was pinned. */
  | 'ModuleUnavailable'
  /** What was read is not a bundle. */
  | 'FormatInvalid'
  /** A bound of the format was passed. */
  | 'TooLarge'
  /** Bytes are not those that their digest names. */
  | 'DataDamaged'

/** Thrown by this package. `transient` where another attempt may help: fetching a module, or bytes that were damaged on the way. */
export class BundleError extends Error {
  override readonly name = 'BundleError'
  readonly code: BundleErrorCode
  readonly transient: boolean

  constructor(code: BundleErrorCode, message: string, options: { readonly cause?: unknown; readonly transient?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? code === 'DataDamaged'
  }
}
