import { type ContentTarget, type Descriptor, digestOf, mediaTypes, pushArtifact } from '@muster/oci'
import { canonicalYaml } from './canonical.ts'
import { BundleError } from './errors.ts'
import {
  annotations,
  type BundleChart,
  type BundleConfig,
  type BundleHook,
  type BundleImage,
  bundleTypes,
  type LeftOut,
  type NestedBundle,
} from './format.ts'
import type { HealthRule } from './health.ts'
import type { ImageFieldText } from './image-rules.ts'
import { limits } from './limits.ts'
import type { KubeObjectLike } from './object.ts'
import type { BundleParameter, BundleSiteOverlays } from './parameter.ts'
import { writeUstar } from './ustar.ts'

/** A component's objects, in the order in which they are written. */
export interface Component {
  readonly name: string
  readonly objects: readonly KubeObjectLike[]
}

export interface BundleContent {
  readonly name: string
  readonly version: string
  readonly description?: string
  readonly components: readonly Component[]
  readonly images: readonly BundleImage[]
  /** Included bundles, which must be in the target already. */
  readonly bundles?: readonly NestedBundle[]
  readonly imageFields?: readonly ImageFieldText[]
  readonly health?: readonly HealthRule[]
  readonly charts?: readonly BundleChart[]
  readonly hooks?: readonly BundleHook[]
  readonly leftOut?: readonly LeftOut[]
  readonly parameters?: readonly BundleParameter[]
  readonly siteOverlays?: BundleSiteOverlays | undefined
}

/**
 * A component as an archive: a file per object, `0001-deployment-web.yaml`, in order.
 * @throws BundleError `TooLarge`, `ManifestInvalid`
 */
export function componentArchive(component: Component): Uint8Array {
  const archive = writeUstar(
    component.objects.map((object, at) => ({ path: fileName(object, at + 1), content: new TextEncoder().encode(canonicalYaml(object)) })),
  )
  if (archive.length <= limits.layerBytes) return archive
  throw new BundleError(
    'TooLarge',
    `The component ${component.name} takes ${archive.length} bytes; at most ${limits.layerBytes} are read. Split it.`,
  )
}

/** For people who open the archive; readers go by order alone. */
function fileName(object: KubeObjectLike, number: number): string {
  const slug = `${object.kind}-${object.metadata.name}`.toLowerCase().replaceAll(/[^a-z0-9.-]+/g, '-')
  return `${String(number).padStart(5, '0')}-${slug.slice(0, 80)}.yaml`
}

/**
 * Writes content manifest and index; the images must be in `target` already.
 * @throws BundleError `TooLarge`, OciError
 */
export async function writeBundle(
  target: ContentTarget,
  content: BundleContent,
  options: { readonly tag?: string | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<{ descriptor: Descriptor; config: BundleConfig }> {
  const layers = content.components.map((component) => ({ component, bytes: componentArchive(component) }))
  const config: BundleConfig = {
    name: content.name,
    version: content.version,
    ...(content.description === undefined ? {} : { description: content.description }),
    images: [...content.images],
    components: layers.map(({ component, bytes }) => ({
      name: component.name,
      digest: digestOf(bytes),
      objects: component.objects.length,
    })),
    objects:
      content.components.reduce((sum, { objects }) => sum + objects.length, 0) +
      (content.bundles ?? []).reduce((sum, { objects }) => sum + objects, 0),
    // Left out where there is nothing to say: what was made before these were known keeps its digest.
    ...some('bundles', content.bundles),
    ...some('imageFields', content.imageFields),
    ...some('health', content.health),
    ...some('charts', content.charts),
    ...some('hooks', content.hooks),
    ...some('leftOut', content.leftOut),
    ...some('parameters', content.parameters),
    ...(content.siteOverlays === undefined ? {} : { siteOverlays: content.siteOverlays }),
  }
  if (config.objects > limits.objects) throw tooLarge(content.name, `${config.objects} objects`, `${limits.objects}`)
  const total = layers.reduce((sum, { bytes }) => sum + bytes.length, 0)
  if (total > limits.contentBytes) throw tooLarge(content.name, `${total} bytes of manifests`, `${limits.contentBytes}`)
  const configBytes = encode(config)
  if (configBytes.length > limits.configBytes)
    throw tooLarge(content.name, `${configBytes.length} bytes of bundle.json`, `${limits.configBytes}`)
  const manifest = await pushArtifact(
    target,
    {
      artifactType: bundleTypes.content,
      config: { mediaType: bundleTypes.config, bytes: configBytes },
      layers: layers.map(({ component, bytes }) => ({
        mediaType: bundleTypes.manifests,
        bytes,
        annotations: { [annotations.component]: component.name },
      })),
    },
    { signal: options.signal },
  )
  const index = encode(indexOf(content, { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size }))
  if (index.length > limits.indexBytes) throw tooLarge(content.name, `an index of ${index.length} bytes`, `${limits.indexBytes}`)
  const descriptor = await target.putManifest(index, mediaTypes.imageIndex, { tag: options.tag, signal: options.signal })
  return { descriptor: { ...descriptor, artifactType: bundleTypes.bundle }, config }
}

function some<K extends string, T>(key: K, values: readonly T[] = []): { [P in K]?: T[] } {
  return (values.length === 0 ? {} : { [key]: [...values] }) as { [P in K]?: T[] }
}

function indexOf(content: BundleContent, manifest: Descriptor): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.imageIndex,
    artifactType: bundleTypes.bundle,
    manifests: [
      { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size, artifactType: bundleTypes.content },
      ...(content.bundles ?? []).map(({ name, version, digest, size }) => ({
        mediaType: mediaTypes.imageIndex,
        digest,
        size,
        artifactType: bundleTypes.bundle,
        annotations: { [annotations.title]: name, [annotations.version]: version },
      })),
      ...content.images.map(({ name, digest, mediaType, size }) => ({
        mediaType,
        digest,
        size,
        annotations: { [annotations.imageName]: name },
      })),
    ],
    annotations: {
      [annotations.title]: content.name,
      [annotations.version]: content.version,
      ...(content.description === undefined ? {} : { [annotations.description]: content.description }),
    },
  }
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

function tooLarge(name: string, what: string, bound: string): BundleError {
  return new BundleError('TooLarge', `The bundle ${name} has ${what}; at most ${bound} are read. Make several bundles.`)
}
