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
import type * as z from 'zod'
import { readCanonicalYaml } from './canonical-read.ts'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { annotations, type BundleConfig, bundleTypes, configSchema, type NestedBundle } from './format.ts'
import type { HealthRule } from './health.ts'
import { imageRule } from './image-rules.ts'
import { readImages } from './images.ts'
import { limits } from './limits.ts'
import { checkObject, describeObject, identityOf, type KubeObjectLike } from './object.ts'
import type { BundleParameter } from './parameter.ts'
import { readUstar } from './ustar.ts'

/** A bundle that was read: its parts agree with each other. Whether to trust it is a question to its signatures. */
export interface ReadBundle {
  readonly descriptor: Descriptor
  readonly config: BundleConfig
  /** Those of included bundles first, then component by component, in the order of the bundle. */
  readonly objects: KubeObjectLike[]
  /** How custom resources are judged: its own rules, then those of included bundles for kinds that it has none for. */
  readonly health: HealthRule[]
  /** Included bundles of all levels, each before the one that includes it. */
  readonly nested: NestedBundle[]
  /** `name` as manifests say it, without digest. */
  readonly images: { name: string; descriptor: Descriptor }[]
  /** Of all levels; those of an included bundle as `BUNDLE.NAME`. */
  readonly parameters: BundleParameter[]
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
    return await read(source, bundle, { signal: options.signal, depth: 0, seen: new Set(), bytes: 0 })
  } catch (error) {
    throw translate(error, typeof bundle === 'string' ? bundle : bundle.digest)
  }
}

/** What all levels of a bundle share. */
interface Reading {
  readonly signal: AbortSignal | undefined
  readonly depth: number
  /** Bundles that were read, or are being read. */
  readonly seen: Set<string>
  /** Of manifests, so far. */
  bytes: number
}

async function read(source: ContentSource, bundle: Pick<Descriptor, 'digest' | 'size'> | string, reading: Reading): Promise<ReadBundle> {
  const { signal } = reading
  const digest = typeof bundle === 'string' ? bundle : bundle.digest
  if (reading.seen.has(digest)) throw invalid(digest, 'it is included twice, or includes itself')
  reading.seen.add(digest)
  if (reading.depth > limits.nestedDepth) throw tooLarge(digest, 'bundles in bundles', limits.nestedDepth)
  if (reading.seen.size > limits.nestedBundles + 1) throw tooLarge(digest, 'included bundles', limits.nestedBundles)
  const { bytes, descriptor } = await manifestOf(source, digest, typeof bundle === 'string' ? undefined : bundle.size, signal)
  const index = parseManifest(bytes, descriptor.mediaType)
  if (index.mediaType !== mediaTypes.imageIndex || index.artifactType !== bundleTypes.bundle) {
    throw invalid(digest, `it is ${index.artifactType ?? index.mediaType}, not ${bundleTypes.bundle}`)
  }
  const [first, ...entries] = index.manifests
  const included = entries.filter(({ artifactType }) => artifactType === bundleTypes.bundle)
  const rest = entries.filter((entry) => !included.includes(entry))
  if (first?.artifactType !== bundleTypes.content || index.blobs.length > 0)
    throw invalid(digest, 'its index does not begin with its content')
  const images = rest.map((entry) => {
    const name = entry.annotations?.[annotations.imageName]
    if (name === undefined) throw invalid(digest, `its index holds ${entry.digest}, which is no image with a name`)
    return { name, descriptor: { mediaType: entry.mediaType, digest: entry.digest, size: entry.size } }
  })
  const { config, layers } = await readContent(source, first, digest, reading)
  if (index.annotations?.[annotations.title] !== config.name || index.annotations[annotations.version] !== config.version) {
    throw invalid(digest, 'index and bundle.json give different names or versions')
  }
  const nested = await readNested(source, config, included, digest, reading)
  const objects = nested.flatMap((one) => one.objects)
  await readObjects(source, config, layers, digest, objects, signal)
  checkImages(config, images, objects, digest)
  return {
    descriptor: { ...descriptor, artifactType: bundleTypes.bundle },
    config,
    objects,
    images,
    health: rulesOf(config, nested),
    nested: [...nested.flatMap((one) => one.nested), ...(config.bundles ?? [])],
    parameters: [
      ...nested.flatMap((one) => one.parameters.map((parameter) => ({ ...parameter, name: `${one.config.name}.${parameter.name}` }))),
      ...(config.parameters ?? []),
    ],
  }
}

function rulesOf(config: BundleConfig, nested: readonly ReadBundle[]): HealthRule[] {
  const rules = new Map<string, HealthRule>()
  for (const rule of [...(config.health ?? []), ...nested.flatMap(({ health }) => health)]) {
    const key = `${rule.kind}.${rule.apiGroup}`
    if (!rules.has(key)) rules.set(key, rule)
  }
  return [...rules.values()]
}

/** Depth first, one after the other: what they hold together stays within the bounds of one bundle. */
async function readNested(
  source: ContentSource,
  config: BundleConfig,
  included: readonly Descriptor[],
  bundle: string,
  reading: Reading,
): Promise<ReadBundle[]> {
  const named = config.bundles ?? []
  if (named.length !== included.length || named.some(({ digest }, at) => digest !== included[at]?.digest))
    throw invalid(bundle, 'its index does not hold the bundles that bundle.json names')
  const nested: ReadBundle[] = []
  for (const { name, version, digest, size, objects } of named) {
    const level: Reading = { ...reading, depth: reading.depth + 1 }
    const one = await read(source, { digest, size }, level)
    reading.bytes = level.bytes
    if (one.config.name !== name || one.config.version !== version || one.config.objects !== objects)
      throw invalid(bundle, `it includes ${digest}, which is not the bundle ${name} that bundle.json names`)
    nested.push(one)
  }
  return nested
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
  reading: Reading,
): Promise<{ config: BundleConfig; layers: readonly Descriptor[] }> {
  const { signal } = reading
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
  const config = withoutUndefined(checked.data)
  // A manifest without layers of its own has one that is empty (image-spec, "Guidelines for Artifact Usage").
  const layers = manifest.layers.filter(({ mediaType }) => mediaType !== mediaTypes.empty)
  const agree =
    layers.length === config.components.length &&
    layers.every(({ mediaType, digest, annotations: given }, at) => {
      const component = config.components[at]
      return mediaType === bundleTypes.manifests && digest === component?.digest && given?.[annotations.component] === component.name
    })
  if (!agree) throw invalid(bundle, 'its layers are not the components that bundle.json names')
  reading.bytes += layers.reduce((sum, { size }) => sum + size, 0)
  if (reading.bytes > limits.contentBytes) throw tooLarge(bundle, `${reading.bytes} bytes of manifests`, limits.contentBytes)
  return { config, layers }
}

/** zod gives optional keys as `T | undefined`; JSON has none that is undefined. */
function withoutUndefined(config: z.infer<typeof configSchema>): BundleConfig {
  return config as BundleConfig
}

/** Adds a bundle's own objects to those of the bundles that it includes. */
async function readObjects(
  source: ContentSource,
  config: BundleConfig,
  layers: readonly Descriptor[],
  bundle: string,
  objects: KubeObjectLike[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const seen = new Map<string, string>()
  for (const object of objects) {
    const identity = identityOf(object)
    if (seen.has(identity))
      throw new BundleError('DuplicateObject', `${describeObject(object)} is in two of the bundles that ${bundle} includes.`)
    seen.set(identity, 'an included bundle')
  }
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
  const rules = (config.imageFields ?? []).map(imageRule)
  for (const object of objects) {
    for (const { name, digest } of readImages(object, bundle, rules)) {
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
