import * as z from 'zod'
import { limits } from './limits.ts'

/** Media and artifact types of a bundle. */
export const bundleTypes = {
  /** `artifactType` of the index. */
  bundle: 'application/vnd.muster.bundle.v1+json',
  /** `artifactType` of the content manifest, the index's first entry. */
  content: 'application/vnd.muster.bundle.content.v1',
  /** Media type of the content's config. */
  config: 'application/vnd.muster.bundle.config.v1+json',
  /** Media type of a component's layer. */
  manifests: 'application/vnd.muster.bundle.manifests.v1.tar',
} as const

export const annotations = {
  title: 'org.opencontainers.image.title',
  version: 'org.opencontainers.image.version',
  description: 'org.opencontainers.image.description',
  /** On an image's entry in the index: the name that manifests use, without digest. */
  imageName: 'dev.muster.image.name',
  /** On a layer of the content: the component that it holds. */
  component: 'dev.muster.component',
} as const

/** The grammar of semver.org, version 2.0.0. */
const semverPattern =
  /^(?:0|[1-9]\d{0,15})\.(?:0|[1-9]\d{0,15})\.(?:0|[1-9]\d{0,15})(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/

export const semanticVersion = z.string().max(128).regex(semverPattern, 'must be a version as semver.org defines it, such as 1.2.3')
export const bundleName = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be lower-case letters, digits and -, at most 63')

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const size = z.int().min(0)
const imageName = z.string().min(1).max(512)

export const configSchema = z.object({
  name: bundleName,
  version: semanticVersion,
  description: z.string().max(1000).optional(),
  images: z.array(z.object({ name: imageName, digest, mediaType: z.string().max(255), size })).max(20_000),
  components: z
    .array(z.object({ name: bundleName, digest, objects: z.int().min(0).max(limits.objects) }))
    .min(1)
    .max(limits.components),
  objects: z.int().min(0).max(limits.objects),
})

/** An image of a bundle. `name` is what manifests say, without digest; `size` is that of its manifest or index, in bytes. */
export interface BundleImage {
  name: string
  digest: string
  mediaType: string
  size: number
}

/** bundle.json: what a bundle says about itself. */
export interface BundleConfig {
  name: string
  version: string
  description?: string
  /** Sorted by name, then digest. */
  images: BundleImage[]
  /** In the order of bundle.yaml; `digest` is that of the component's layer. */
  components: { name: string; digest: string; objects: number }[]
  /** In all components together. */
  objects: number
}

/** The tag under which a version is published: a tag has no `+`, so `_` stands for it. */
export function versionTag(version: string): string {
  return version.replaceAll('+', '_')
}
