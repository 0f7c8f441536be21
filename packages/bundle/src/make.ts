import { resolve } from 'node:path'
import { type ContentSource, type ContentTarget, copy, type Descriptor } from '@muster/oci'
import { writeBundle } from './content.ts'
import { BundleError } from './errors.ts'
import { type BundleConfig, type BundleImage, versionTag } from './format.ts'
import { readImage, readImages, type WrittenImage, withImages } from './images.ts'
import { type RenderKustomize, refuseRemote } from './kustomize.ts'
import { inOrder, type ManifestObject, parseManifests, readManifests, refuseDuplicates } from './manifests.ts'
import type { FetchGoModule } from './module.ts'
import { describeObject } from './object.ts'
import { type BundleSource, type ComponentSource, loadSource, matchesImage } from './source.ts'

/** Where an image was found. */
export interface FoundImage {
  readonly source: ContentSource
  readonly descriptor: Descriptor
}

/**
 * Finds an image by its name as manifests write it, with digest where it has one. Undefined: there is none here, and the bundle is
 * refused.
 */
export type FindImage = (name: string) => Promise<FoundImage | undefined>

export interface MakeBundleOptions {
  /** bundle.yaml, or the folder that holds it. */
  readonly sourceDir: string
  /** Where images, content and index are written. */
  readonly target: ContentSource & ContentTarget
  readonly images: FindImage
  readonly renderKustomize: RenderKustomize
  /** Needed by a bundle.yaml that names a Go module. */
  readonly fetchGoModule?: FetchGoModule | undefined
  /** The tag of the index in `target`. Default: `<name>:<version>`. */
  readonly tag?: string | undefined
  readonly signal?: AbortSignal | undefined
}

interface RenderedComponent {
  readonly name: string
  readonly objects: readonly ManifestObject[]
}

/**
 * Makes a bundle from bundle.yaml. The same manifests and images give the same digest, on any machine at any time, whatever order
 * files and documents have. Images are copied into `target` with their referrers; in manifests `name:tag` becomes
 * `name:tag@sha256:…`, and nothing else changes.
 * @throws BundleError each of its codes but `FormatInvalid` and `DataDamaged`; OciError
 */
export async function makeBundle(options: MakeBundleOptions): Promise<{ descriptor: Descriptor; config: BundleConfig }> {
  const { signal, target } = options
  const source = await loadSource(options.sourceDir)
  const components = await renderComponents(source, options)
  refuseDuplicates(components.flatMap(({ objects }) => objects))
  const found = await findImages(components, source, options.images)
  const images: BundleImage[] = []
  for (const [, { written, descriptor, source: from }] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
    signal?.throwIfAborted()
    if (from !== target) await copy(from, target, descriptor, { referrers: true, signal })
    const image = { name: written.name, digest: descriptor.digest, mediaType: descriptor.mediaType, size: descriptor.size }
    // One image may be written with its digest here and without it there.
    if (!images.some((other) => other.name === image.name && other.digest === image.digest)) images.push(image)
  }
  images.sort((a, b) => compare(a.name, b.name) || compare(a.digest, b.digest))
  const digests = new Map([...found].map(([key, { descriptor }]) => [key, descriptor.digest]))
  return writeBundle(
    target,
    {
      name: source.name,
      version: source.version,
      ...(source.description === undefined ? {} : { description: source.description }),
      components: components.map(({ name, objects }) => ({
        name,
        objects: inOrder(objects).map(({ object }) => withImages(object, (image) => withDigest(image, digests.get(image)))),
      })),
      images,
    },
    { tag: options.tag ?? `${source.name}:${versionTag(source.version)}`, signal },
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function withDigest(image: string, digest: string | undefined): string {
  return digest === undefined || image.includes('@') ? image : `${image}@${digest}`
}

async function renderComponents(source: BundleSource, options: MakeBundleOptions): Promise<RenderedComponent[]> {
  const base = source.module === undefined ? source.dir : await moduleFolder(source, options)
  const root = source.module === undefined ? undefined : base
  const components: RenderedComponent[] = []
  for (const component of source.components) {
    options.signal?.throwIfAborted()
    const objects = await renderComponent(component, base, root, options)
    if (objects.length === 0) throw new BundleError('ManifestInvalid', `The component ${component.name} of ${source.file} holds no object.`)
    components.push({ name: component.name, objects })
  }
  return components
}

async function renderComponent(
  component: ComponentSource,
  base: string,
  root: string | undefined,
  options: MakeBundleOptions,
): Promise<ManifestObject[]> {
  if ('manifests' in component) {
    return readManifests(
      component.manifests.map((path) => resolve(base, path)),
      base,
    )
  }
  const dir = resolve(base, component.kustomize)
  await refuseRemote(dir, root)
  return parseManifests(await options.renderKustomize(dir, options.signal), `${component.kustomize} (rendered)`)
}

async function moduleFolder(source: BundleSource, options: MakeBundleOptions): Promise<string> {
  const { module } = source
  if (module === undefined || options.fetchGoModule === undefined) {
    throw new BundleError('ModuleUnavailable', `${source.file} takes its manifests from a Go module, and modules cannot be fetched here.`)
  }
  const { dir, sum } = await options.fetchGoModule(module.goModule, options.signal)
  if (module.sum !== undefined && module.sum !== sum) {
    throw new BundleError(
      'ModuleUnavailable',
      `${module.goModule} has the checksum ${sum}, and ${source.file} pins ${module.sum}. Do not use it before you know why.`,
    )
  }
  return dir
}

/** Every image that objects name, by its text; all that have no source are named at once. */
async function findImages(
  components: readonly RenderedComponent[],
  source: BundleSource,
  find: FindImage,
): Promise<Map<string, FoundImage & { written: WrittenImage }>> {
  const places = new Map<string, ManifestObject>()
  for (const entry of components.flatMap(({ objects }) => objects)) {
    for (const { name, digest } of readImages(entry.object, entry.where)) {
      const text = digest === undefined ? name : `${name}@${digest}`
      if (!places.has(text)) places.set(text, entry)
    }
  }
  refuseUnused(source, [...places.keys()])
  const found = new Map<string, FoundImage & { written: WrittenImage }>()
  const missing: string[] = []
  for (const [text, { where, object }] of places) {
    const written = readImage(text, where)
    const image = await find(text)
    const at = `${text} (${describeObject(object)} in ${where})`
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
