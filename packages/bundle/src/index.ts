export type { FindArtifact, RenderOptions } from './components.ts'
export type { BundleContent, Component } from './content.ts'
export { type Connection, connectionsOf, connectionText } from './diff/connections.ts'
export { type BundleDiff, diffBundles } from './diff/diff.ts'
export { type FieldChange, fieldChanges } from './diff/fields.ts'
export { type Permission, permissionsOf, permissionText } from './diff/permissions.ts'
export { diffText, fieldText } from './diff/text.ts'
export { readDocuments } from './documents.ts'
export { BundleError, type BundleErrorCode } from './errors.ts'
export {
  type BundleChart,
  type BundleConfig,
  type BundleHook,
  type BundleImage,
  bundleTypes,
  type ChartParameter,
  type LeftOut,
  type NestedBundle,
  versionTag,
} from './format.ts'
export { type HealthRule, healthRuleText, readHealthRules } from './health.ts'
export { helmVersion } from './helm/defaults.ts'
export { type HelmProgramOptions, helmProgram } from './helm/program.ts'
export { type HelmRequest, helmWith, type RenderHelm } from './helm/render.ts'
export { type ImageFieldText, imageRule, rulesFor } from './image-rules.ts'
export { imagesOf } from './images.ts'
export { kustomizeWith, type RenderKustomize } from './kustomize.ts'
export { type FindImage, type FoundImage, imageSourceOf, type MadeBundle, type MakeBundleOptions, makeBundle } from './make.ts'
export { parseLiveObjects } from './manifests.ts'
export { type FetchGoModule, goModuleWith } from './module.ts'
export { describeObject, type KubeObjectLike } from './object.ts'
export type { BundleParameter, BundleSiteOverlays } from './parameter.ts'
export { type ReadBundle, readBundle } from './read.ts'
export { type BundleSource, bundleFileName, type ComponentSource, type ImageOrigin, type ImageSource, loadSource } from './source.ts'
export type { ImageWarning } from './warnings.ts'
