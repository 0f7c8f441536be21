import {
  type ContentSource,
  type Descriptor,
  digestOf,
  isDigest,
  mediaTypes,
  OciError,
  parseManifest,
  readBlob,
  readJson,
} from '@muster/oci'
import { readCanonicalYaml } from './canonical-read.ts'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { annotations, type BundleConfig, bundleTypes, configSchema } from './format.ts'
import { readImages } from './images.ts'
import { limits } from './limits.ts'
import { checkObject, describeObject, identityOf, type KubeObjectLike } from './object.ts'
import { readUstar } from './ustar.ts'

/** A bundle that was read: its parts agree with each other. Whether to trust it is a question to its signatures. */
export interface ReadBundle {
  readonly descriptor: Descriptor
  readonly config: BundleConfig
  /** Component by component, in the order of the bundle. */
  readonly objects: KubeObjectLike[]
  /** `name` as manifests say it, without digest. */
  readonly images: { name: string; descriptor: Descriptor }[]
}

/**
 * Reads a bundle's index, config and objects (not its images), within the bounds of the format, every byte verified against its
 * digest. What it says is cross-checked: objects and images of config, index and manifests must be the same.
 * @param bundle its digest, or its descriptor, whose size is then checked too
 * @throws BundleError `FormatInvalid`, `TooLarge`, `DataDamaged`, `ManifestInvalid`, `DuplicateObject`
 * @throws OciError where the source could not be asked, `NotFound` where it is not there
 */
export async function readBundle(
  source: ContentSource,
  bundle: Pick<Descriptor, 'digest' | 'size'> | string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ReadBundle> {
  try {
    return await read(source, bundle, options.signal)
  } catch (error) {
    throw translate(error, typeof bundle === 'string' ? bundle : bundle.digest)
  }
}

async function read(
  source: ContentSource,
  bundle: Pick<Descriptor, 'digest' | 'size'> | string,
  signal: AbortSignal | undefined,
): Promise<ReadBundle> {
  const digest = typeof bundle === 'string' ? bundle : bundle.digest
  const { bytes, descriptor } = await manifestOf(source, digest, typeof bundle === 'string' ? undefined : bundle.size, signal)
  const index = parseManifest(bytes, descriptor.mediaType)
  if (index.mediaType !== mediaTypes.imageIndex || index.artifactType !== bundleTypes.bundle) {
    throw invalid(digest, `it is ${index.artifactType ?? index.mediaType}, not ${bundleTypes.bundle}`)
  }
  const [first, ...rest] = index.manifests
  if (first?.artifactType !== bundleTypes.content || index.blobs.length > 0)
    throw invalid(digest, 'its index does not begin with its content')
  const images = rest.map((entry) => {
    const name = entry.annotations?.[annotations.imageName]
    if (name === undefined) throw invalid(digest, `its index holds ${entry.digest}, which is no image with a name`)
    return { name, descriptor: { mediaType: entry.mediaType, digest: entry.digest, size: entry.size } }
  })
  const { config, layers } = await readContent(source, first, digest, signal)
  if (index.annotations?.[annotations.title] !== config.name || index.annotations[annotations.version] !== config.version) {
    throw invalid(digest, 'index and bundle.json give different names or versions')
  }
  const objects = await readObjects(source, config, layers, digest, signal)
  checkImages(config, images, objects, digest)
  return { descriptor: { ...descriptor, artifactType: bundleTypes.bundle }, config, objects, images }
}

async function manifestOf(
  source: ContentSource,
  digest: string,
  size: number | undefined,
  signal: AbortSignal | undefined,
): Promise<{ bytes: Uint8Array; descriptor: Descriptor }> {
  if (!isDigest(digest)) throw invalid(digest.slice(0, 100), 'a bundle is read by its sha256 digest')
  if (size !== undefined && size > limits.indexBytes) throw tooLarge(digest, `${size} bytes`, limits.indexBytes)
  const found = await source.manifest(digest, { signal })
  if (found.bytes.length > limits.indexBytes) throw tooLarge(digest, `${found.bytes.length} bytes`, limits.indexBytes)
  if (digestOf(found.bytes) !== digest)
    throw new BundleError('DataDamaged', `${digest} came with other bytes: it was changed or damaged. Publish the bundle again.`)
  if (size !== undefined && size !== found.bytes.length)
    throw new BundleError('DataDamaged', `${digest} has ${found.bytes.length} bytes; ${size} were promised.`)
  return found
}

async function readContent(
  source: ContentSource,
  content: Descriptor,
  bundle: string,
  signal: AbortSignal | undefined,
): Promise<{ config: BundleConfig; layers: readonly Descriptor[] }> {
  const { bytes } = await manifestOf(source, content.digest, content.size, signal)
  const manifest = parseManifest(bytes, mediaTypes.imageManifest)
  if (manifest.artifactType !== bundleTypes.content || manifest.config?.mediaType !== bundleTypes.config) {
    throw invalid(bundle, 'its content manifest is of another type')
  }
  const json = await readJson(source, manifest.config, { limit: limits.configBytes, signal })
  const checked = configSchema.safeParse(json)
  if (!checked.success) {
    const [issue] = checked.error.issues
    throw new BundleError('FormatInvalid', `${bundle} has a bundle.json that is not one: ${issue?.path.join('.')}: ${issue?.message}.`, {
      cause: checked.error,
    })
  }
  const { description, ...config } = checked.data
  const { layers } = manifest
  const agree =
    layers.length === config.components.length &&
    layers.every(({ mediaType, digest, annotations: given }, at) => {
      const component = config.components[at]
      return mediaType === bundleTypes.manifests && digest === component?.digest && given?.[annotations.component] === component.name
    })
  if (!agree) throw invalid(bundle, 'its layers are not the components that bundle.json names')
  const total = layers.reduce((sum, { size }) => sum + size, 0)
  if (total > limits.contentBytes) throw tooLarge(bundle, `${total} bytes of manifests`, limits.contentBytes)
  return { config: { ...config, ...(description === undefined ? {} : { description }) }, layers }
}

async function readObjects(
  source: ContentSource,
  config: BundleConfig,
  layers: readonly Descriptor[],
  bundle: string,
  signal: AbortSignal | undefined,
): Promise<KubeObjectLike[]> {
  const objects: KubeObjectLike[] = []
  const seen = new Map<string, string>()
  for (const [at, layer] of layers.entries()) {
    const component = config.components[at]
    const archive = await readBlob(source, layer, { limit: limits.layerBytes, signal })
    const files = readUstar(archive, limits.objects - objects.length)
    if (files.length !== component?.objects)
      throw invalid(bundle, `its component ${component?.name} does not hold the number of objects that bundle.json gives`)
    for (const { path, content } of files) {
      const where = `${component.name}/${path}`
      const object = readObject(content, where)
      const identity = identityOf(object)
      const first = seen.get(identity)
      if (first !== undefined)
        throw new BundleError('DuplicateObject', `${describeObject(object)} is in ${bundle} twice: ${first} and ${where}.`)
      seen.set(identity, where)
      objects.push(object)
      // Thousands of objects take a while to parse: others get their turn, and an abort is seen.
      if (objects.length % 50 === 0) await new Promise(setImmediate)
      signal?.throwIfAborted()
    }
  }
  if (objects.length !== config.objects) throw invalid(bundle, `it holds ${objects.length} objects, and bundle.json says ${config.objects}`)
  return objects
}

function readObject(content: Uint8Array, where: string): KubeObjectLike {
  if (content.length > limits.objectBytes) throw tooLarge(where, `${content.length} bytes`, limits.objectBytes)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch (cause) {
    throw new BundleError('FormatInvalid', `${where} is not UTF-8.`, { cause })
  }
  const canonical = readCanonicalYaml(text)
  if (canonical !== undefined) return checkObject(canonical, where)
  const [document, ...more] = readDocuments(text, { file: where, code: 'ManifestInvalid', aliases: false })
  if (document === undefined || more.length > 0) throw new BundleError('FormatInvalid', `${where} does not hold exactly one object.`)
  return checkObject(document.value, where)
}

/** Objects may run only what the bundle carries, and the bundle says what it carries. */
function checkImages(config: BundleConfig, images: ReadBundle['images'], objects: readonly KubeObjectLike[], bundle: string): void {
  const line = (name: string, digest: string, mediaType: string, size: number) => [name, digest, mediaType, size].join(' ')
  const inIndex = images.map(({ name, descriptor }) => line(name, descriptor.digest, descriptor.mediaType, descriptor.size))
  const inConfig = config.images.map(({ name, digest, mediaType, size }) => line(name, digest, mediaType, size))
  if (inIndex.length !== inConfig.length || inIndex.some((entry, at) => entry !== inConfig[at])) {
    throw invalid(bundle, 'its index does not hold the images that bundle.json names')
  }
  const carried = new Set(images.map(({ name, descriptor }) => `${name}@${descriptor.digest}`))
  for (const object of objects) {
    for (const { name, digest } of readImages(object, bundle)) {
      if (digest === undefined) throw invalid(bundle, `${describeObject(object)} names ${name} without its digest`)
      if (!carried.has(`${name}@${digest}`))
        throw invalid(bundle, `${describeObject(object)} names ${name}@${digest}, which the bundle does not carry`)
    }
  }
}

/** What was damaged or malformed is this bundle's fault; an outage or an absence stays what it is. */
function translate(error: unknown, bundle: string): unknown {
  if (!(error instanceof OciError)) return error
  switch (error.code) {
    case 'DigestMismatch':
    case 'SizeMismatch':
      return new BundleError('DataDamaged', `${bundle} was changed or damaged: ${error.message}`, { cause: error })
    case 'TooLarge':
      return new BundleError('TooLarge', `${bundle} is too large to be read: ${error.message}`, { cause: error })
    case 'InvalidManifest':
    case 'InvalidJson':
    case 'InvalidDigest':
    case 'Unsupported':
      return new BundleError('FormatInvalid', `${bundle} is not a bundle: ${error.message}`, { cause: error })
    default:
      return error
  }
}

function invalid(bundle: string, why: string): BundleError {
  return new BundleError('FormatInvalid', `${bundle} is not a valid bundle: ${why}. Publish it again.`)
}

function tooLarge(what: string, has: string, bound: number): BundleError {
  return new BundleError('TooLarge', `${what} has ${has}; at most ${bound} are read.`)
}
