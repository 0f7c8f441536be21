export {
  bundleRepository,
  type PrepareBundleOptions,
  type PreparedBundle,
  type PublishBundleOptions,
  type PublishedBundle,
  prepareBundle,
  publishBundle,
  pushBundle,
} from './bundle.ts'
export { PublishError, type PublishErrorCode } from './errors.ts'
export { type PublishedImage, type PublishImageOptions, publishImage } from './image.ts'
