import { type ContentSource, type ContentTarget, copy, type Descriptor, Layout, parseReference } from '@muster/oci'
import { artifactOf, type RenderedComponent, type RenderOptions, renderComponents } from './components.ts'
import { writeBundle } from './content.ts'
import { BundleError } from './errors.ts'
import { type BundleConfig, type BundleImage, versionTag } from './format.ts'
import { checkHealthRules } from './health.ts'
import { hooksAmong } from './hooks.ts'
import { imageFieldText } from './image-rules.ts'
import { readImage, readImages, type WrittenImage, withImages } from './images.ts'
import { type ManifestObject, refuseDuplicates } from './manifests.ts'
import { describeObject } from './object.ts'
import { type ReadBundle, readBundle } from './read.ts'
import { type BundleSource, loadSource, matchesImage, type NestedSource } from './source.ts'
import { type ImageWarning, unpinnedImages } from './warnings.ts'

/** Where an image was found. */
export interface FoundImage {
  readonly source: ContentSource
  readonly descriptor: Descriptor
}

/**
 * Finds an image by its name as manifests write it, with digest where it has one. Undefined: there is none here, and the bundle is
 * refused.
 * @param origins references with digests under which it may be had too, as the lock of an imgpkg bundle says
 */
export type FindImage = (name: string, origins?: readonly string[]) => Promise<FoundImage | undefined>

export interface MakeBundleOptions extends RenderOptions {
  /** bundle.yaml, or the folder that holds it. */
  readonly sourceDir: string
  /** Instead of the one that bundle.yaml says. */
  readonly version?: string | undefined
  /** Where images, content and index are written. */
  readonly target: ContentSource & ContentTarget
  readonly images: FindImage
  /** The tag of the index in `target`. Default: `<name>:<version>`. */
  readonly tag?: string | undefined
}

export interface MadeBundle {
  readonly descriptor: Descriptor
  readonly config: BundleConfig
  /** Texts that look like images and were not pinned. */
  readonly warnings: readonly ImageWarning[]
}

/**
 * Makes a bundle from bundle.yaml. The same manifests and images give the same digest, on any machine at any time, whatever order
 * files and documents have. Images are copied into `target` with their referrers, and so are bundles that are included; in manifests
 * `name:tag` becomes `name:tag@sha256:…`, and nothing else changes.
 * @throws BundleError each of its codes but `FormatInvalid` and `DataDamaged`; OciError
 */
export async function makeBundle(options: MakeBundleOptions): Promise<MadeBundle> {
  const { signal, target } = options
  const source = await loadSource(options.sourceDir, options.version)
  await checkHealthRules(source.health, source.file)
  const nested = await includeBundles(source, options)
  const components = await renderComponents(source, options)
  const included = nested.flatMap(({ config, objects }) => objects.map((object) => ({ object, where: `the bundle ${config.name}` })))
  refuseDuplicates([...included, ...components.flatMap(({ objects }) => objects)])
  const found = await findImages(components, source, options.images)
  const images = nested.flatMap((bundle) => bundle.config.images)
  for (const [, { written, descriptor, source: from }] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
    signal?.throwIfAborted()
    if (from !== target) await copy(from, target, descriptor, { referrers: true, signal })
    images.push({ name: written.name, digest: descriptor.digest, mediaType: descriptor.mediaType, size: descriptor.size })
  }
  const digests = new Map([...found].map(([key, { descriptor }]) => [key, descriptor.digest]))
  const rules = source.imageFields
  const pinned = components.map(({ name, objects }) => ({
    name,
    objects: objects.map(({ object }) => withImages(object, (image) => withDigest(image, digests.get(image)), rules)),
  }))
  const carried = inOrder(images)
  const made = await writeBundle(
    target,
    {
      name: source.name,
      version: source.version,
      ...(source.description === undefined ? {} : { description: source.description }),
      components: pinned,
      images: carried,
      bundles: nested.map(({ descriptor, config: { name, version, objects } }) => ({
        name,
        version,
        digest: descriptor.digest,
        size: descriptor.size,
        objects,
      })),
      imageFields: rules.map(imageFieldText),
      health: source.health,
      charts: components.flatMap(({ chart }) => chart ?? []),
      hooks: components.flatMap(({ name, objects }) => hooksAmong(name, objects)),
      leftOut: components.flatMap(({ leftOut }) => leftOut ?? []),
      parameters: source.parameters,
      siteOverlays: source.siteOverlays,
    },
    { tag: options.tag ?? `${source.name}:${versionTag(source.version)}`, signal },
  )
  const names = new Set(carried.map(({ name, digest }) => `${name}@${digest}`))
  return { ...made, warnings: pinned.flatMap(({ objects }) => unpinnedImages(objects, names, rules)) }
}

/** Each once: an image may be written with its digest here and without it there, or be in several bundles. */
function inOrder(images: readonly BundleImage[]): BundleImage[] {
  const each = new Map(images.map((image) => [`${image.name}@${image.digest}`, image]))
  return [...each.values()].sort((a, b) => compare(a.name, b.name) || compare(a.digest, b.digest))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function withDigest(image: string, digest: string | undefined): string {
  return digest === undefined || image.includes('@') ? image : `${image}@${digest}`
}

/** Bundles that bundle.yaml includes, read and checked before they are copied, with all that hangs on them. */
async function includeBundles(source: BundleSource, options: MakeBundleOptions): Promise<ReadBundle[]> {
  const bundles: ReadBundle[] = []
  for (const entry of source.bundles) {
    const from = await nestedSource(entry, options)
    const bundle = await readBundle(from, entry.digest, { signal: options.signal })
    const { name } = bundle.config
    if (name !== entry.name)
      throw new BundleError('NestedBundle', `${entry.position}: ${entry.digest} is the bundle ${name}, not ${entry.name}.`)
    if (name === source.name || contains(bundle, source.name))
      throw new BundleError('NestedBundle', `${entry.position}: the bundle ${name} is, or includes, ${source.name} itself.`)
    if (bundles.some(({ descriptor }) => descriptor.digest === entry.digest))
      throw new BundleError('NestedBundle', `${entry.position}: ${name} is included twice. Remove one.`)
    await copy(from, options.target, bundle.descriptor, { referrers: true, signal: options.signal })
    bundles.push(bundle)
  }
  return bundles
}

function contains(bundle: ReadBundle, name: string): boolean {
  return bundle.nested.some((one) => one.name === name)
}

async function nestedSource({ origin, digest }: NestedSource, options: MakeBundleOptions): Promise<ContentSource> {
  if ('layout' in origin) return Layout.open(origin.layout)
  // Neither a tag nor another digest has a say.
  const repository = (origin.reference.split('@')[0] ?? '').replace(/:[^/]+$/, '')
  return (await artifactOf(`${repository}@${digest}`, 'bundle', options)).source
}

interface Place {
  readonly where: string
  readonly object?: ManifestObject['object']
  readonly origins: readonly string[]
}

/** Every image that objects name, and those that imgpkg bundles lock, by their text; all that have no source are named at once. */
async function findImages(
  components: readonly RenderedComponent[],
  source: BundleSource,
  find: FindImage,
): Promise<Map<string, FoundImage & { written: WrittenImage }>> {
  const places = new Map<string, Place>()
  for (const { objects, locked } of components) {
    const origins = lockedOrigins(locked)
    for (const entry of objects) {
      for (const { name, digest } of readImages(entry.object, entry.where, source.imageFields)) {
        const text = digest === undefined ? name : `${name}@${digest}`
        if (!places.has(text)) places.set(text, { ...entry, origins: origins.get(text) ?? [] })
      }
    }
    // All that a lock names belongs to its bundle, whether a manifest is seen to use it or not.
    for (const { reference } of locked?.images ?? []) {
      const used = [...places.values()].some((place) => place.origins.includes(reference))
      if (!used && !places.has(reference)) places.set(reference, { where: locked?.file ?? '', origins: origins.get(reference) ?? [] })
    }
  }
  refuseUnused(source, [...places.keys()])
  const found = new Map<string, FoundImage & { written: WrittenImage }>()
  const missing: string[] = []
  for (const [text, { where, object, origins }] of places) {
    const written = readImage(text, where)
    const image = await find(text, origins)
    const at = `${text} (${object === undefined ? where : `${describeObject(object)} in ${where}`})`
    if (image === undefined) missing.push(at)
    else if (written.digest !== undefined && written.digest !== image.descriptor.digest)
      missing.push(`${at}: its source gives ${image.descriptor.digest}`)
    else found.set(text, { ...image, written })
  }
  if (missing.length > 0) {
    throw new BundleError(
      'ImageUnresolved',
      `No source gives these images; add them under images: in ${source.file}:\n${missing.map((line) => `  ${line}`).join('\n')}`,
    )
  }
  return found
}

/** By the text of manifests: where a lock says that the image is, the bundle's own repository first, where imgpkg copies them to. */
function lockedOrigins(locked: RenderedComponent['locked']): Map<string, string[]> {
  const origins = new Map<string, string[]>()
  for (const { reference, writtenAs } of locked?.images ?? []) {
    const digest = reference.slice(reference.lastIndexOf('@'))
    const beside = locked?.from === undefined ? [] : [repositoryOf(locked.from) + digest]
    for (const text of [reference, ...(writtenAs === undefined ? [] : [writtenAs])]) origins.set(text, [...beside, reference])
  }
  return origins
}

function repositoryOf(text: string): string {
  const { host, repository } = parseReference(text)
  return `${host}/${repository}`
}

/** An entry that answers for nothing is a slip of the pen, and would hide what it was meant for. */
function refuseUnused(source: BundleSource, written: readonly string[]): void {
  const names = written.flatMap((text) => {
    const { repository, fullRepository } = readImage(text, source.file)
    return [repository, fullRepository]
  })
  const unused = source.images.find(({ match }) => !names.some((name) => matchesImage(match, name)))
  if (unused !== undefined)
    throw new BundleError(
      'SourceInvalid',
      `${unused.position}: no manifest names an image like ${unused.match}. Remove the entry, or correct it.`,
    )
}

/** The first entry of `images:` that answers for an image as manifests write it. */
export function imageSourceOf(source: BundleSource, name: string): BundleSource['images'][number] | undefined {
  const { repository, fullRepository } = readImage(name, source.file)
  return source.images.find(({ match }) => matchesImage(match, repository) || matchesImage(match, fullRepository))
}
