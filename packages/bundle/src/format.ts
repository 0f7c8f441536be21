import * as z from 'zod'
import { type HealthRule, healthRulesSchema } from './health.ts'
import { type ImageFieldText, imageFieldPattern } from './image-rules.ts'
import { limits } from './limits.ts'
import { type BundleParameter, type BundleSiteOverlays, bundleParameterSchema, shallow, siteOverlaysSchema } from './parameter.ts'

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

export const imageFieldSchema = z.strictObject({
  apiGroup: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,252}$/, 'must be an API group, without version')
    .or(z.literal(''))
    .default(''),
  kind: z.string().regex(/^[A-Za-z][A-Za-z0-9]{0,62}$/, 'must be a kind'),
  path: z.string().max(500).regex(imageFieldPattern, 'must be a path such as spec.containers[*].image'),
})

const text = z.string().max(4096)

const parameterSchema = z.object({
  name: text,
  type: z.enum(['string', 'number', 'integer', 'boolean', 'array', 'object', 'any']),
  default: shallow.optional(),
  value: shallow.optional(),
  description: text.optional(),
})

const chartSchema = z.object({
  component: bundleName,
  name: text,
  version: text,
  appVersion: text.optional(),
  release: text,
  namespace: text,
  kubeVersion: text,
  parameters: z.array(parameterSchema).max(limits.parameters),
  schema: shallow,
  schemaFrom: z.enum(['values.schema.json', 'values.yaml']),
})

const hookSchema = z.object({ component: bundleName, object: text, events: z.array(text).max(20), weight: z.int().optional() })
const leftOutSchema = z.object({ component: bundleName, from: text, why: text })
const nestedSchema = z.object({ name: bundleName, version: semanticVersion, digest, size, objects: z.int().min(0).max(limits.objects) })

export const configSchema = z
  .object({
    name: bundleName,
    version: semanticVersion,
    description: z.string().max(1000).optional(),
    images: z.array(z.object({ name: imageName, digest, mediaType: z.string().max(255), size })).max(20_000),
    components: z.array(z.object({ name: bundleName, digest, objects: z.int().min(0).max(limits.objects) })).max(limits.components),
    objects: z.int().min(0).max(limits.objects),
    bundles: z.array(nestedSchema).max(limits.nestedBundles).optional(),
    imageFields: z.array(imageFieldSchema).max(limits.imageFields).optional(),
    health: healthRulesSchema.optional(),
    charts: z.array(chartSchema).max(limits.components).optional(),
    hooks: z.array(hookSchema).max(limits.objects).optional(),
    leftOut: z.array(leftOutSchema).max(limits.objects).optional(),
    parameters: z.array(bundleParameterSchema).max(limits.ownParameters).optional(),
    siteOverlays: siteOverlaysSchema.optional(),
  })
  .refine((value) => value.components.length + (value.bundles?.length ?? 0) > 0, 'holds neither a component nor a bundle')

/** An image of a bundle. `name` is what manifests say, without digest; `size` is that of its manifest or index, in bytes. */
export interface BundleImage {
  name: string
  digest: string
  mediaType: string
  size: number
}

/** A value that a chart was rendered with, as its values.yaml documents it. */
export interface ChartParameter {
  /** `image.tag` */
  readonly name: string
  readonly type: z.infer<typeof parameterSchema>['type']
  /** Of values.yaml; left out where it is null. */
  readonly default?: unknown
  /** What this bundle was made with, where that is another. */
  readonly value?: unknown
  /** The comment above it. */
  readonly description?: string
}

/** A Helm chart that a component was rendered from. */
export interface BundleChart {
  readonly component: string
  readonly name: string
  readonly version: string
  readonly appVersion?: string
  /** What templates saw as `.Release.Name`, `.Release.Namespace`, `.Capabilities.KubeVersion`. */
  readonly release: string
  readonly namespace: string
  readonly kubeVersion: string
  readonly parameters: readonly ChartParameter[]
  /** JSON Schema of the values: the chart's own, or one made of values.yaml. */
  readonly schema: unknown
  readonly schemaFrom: 'values.schema.json' | 'values.yaml'
}

/** An object that Helm would run at a moment of a release's life. */
export interface BundleHook {
  readonly component: string
  /** `Job shop/migrate` */
  readonly object: string
  /** `before-install`, `after-install`, `before-upgrade`, `after-upgrade` */
  readonly events: readonly string[]
  readonly weight?: number
}

/** What a chart has and the bundle has not. */
export interface LeftOut {
  readonly component: string
  /** The template. */
  readonly from: string
  readonly why: string
}

/** A bundle in a bundle. `size` is that of its index, in bytes; `objects` are those of all its levels. */
export interface NestedBundle {
  readonly name: string
  readonly version: string
  readonly digest: string
  readonly size: number
  readonly objects: number
}

/** bundle.json: what a bundle says about itself. */
export interface BundleConfig {
  name: string
  version: string
  description?: string
  /** Sorted by name, then digest; those of nested bundles are among them. */
  images: BundleImage[]
  /** In the order of bundle.yaml; `digest` is that of the component's layer. */
  components: { name: string; digest: string; objects: number }[]
  /** In all components and nested bundles together. */
  objects: number
  bundles?: NestedBundle[]
  /** Where its custom resources name images, beside what is known already. */
  imageFields?: ImageFieldText[]
  /** How its custom resources are judged. */
  health?: HealthRule[]
  charts?: BundleChart[]
  hooks?: BundleHook[]
  leftOut?: LeftOut[]
  /** Its own; those of included bundles are theirs. */
  parameters?: BundleParameter[]
  siteOverlays?: BundleSiteOverlays
}

/** The tag under which a version is published: a tag has no `+`, so `_` stands for it. */
export function versionTag(version: string): string {
  return version.replaceAll('+', '_')
}
