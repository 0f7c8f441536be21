const mebibyte = 1024 * 1024

/** Bounds of the format, in bytes where nothing else is said. A bundle past one is refused when it is made and when it is read. */
export const limits = {
  indexBytes: 4 * mebibyte,
  configBytes: 4 * mebibyte,
  layerBytes: 64 * mebibyte,
  /** All layers of a bundle together. */
  contentBytes: 256 * mebibyte,
  /** One object as YAML: what an API server takes in one request. */
  objectBytes: 3 * mebibyte,
  /** Objects in a bundle. */
  objects: 20_000,
  /** Components in a bundle. */
  components: 256,
  /** Nesting of lists and maps in an object. */
  depth: 100,
  /** A file that is read while a bundle is made. */
  sourceFileBytes: 32 * mebibyte,
  /** What Kustomize may write. */
  renderedBytes: 64 * mebibyte,
} as const
