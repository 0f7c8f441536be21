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
  /** What Kustomize and Helm may write. */
  renderedBytes: 64 * mebibyte,
  /** Memory of a rendering Helm: templates can be made to take all there is. */
  renderMemoryBytes: 1024 * mebibyte,
  /** A packed chart or a layer of an imgpkg bundle. */
  packedBytes: 32 * mebibyte,
  /** What it unpacks to, all files together, and the number of its files. */
  unpackedBytes: 64 * mebibyte,
  unpackedFiles: 10_000,
  /** values.yaml, values.schema.json, Chart.yaml, .imgpkg/images.yml: each. */
  chartFileBytes: mebibyte,
  /** Parameters of a bundle itself. */
  ownParameters: 500,
  /** Parameters of a chart that are kept. */
  parameters: 5000,
  /** Bundles in a bundle, all levels together, and the levels. */
  nestedBundles: 64,
  nestedDepth: 4,
  /** Rules that say where custom resources name images. */
  imageFields: 200,
  /** Rules that say how custom resources are. */
  healthRules: 200,
} as const
