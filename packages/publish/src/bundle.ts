import {
  type BundleConfig,
  type FetchGoModule,
  goModuleWith,
  type ImageWarning,
  kustomizeWith,
  loadSource,
  makeBundle,
  type RenderHelm,
  type RenderKustomize,
  readBundle,
  versionTag,
} from '@muster/bundle'
import { copy, type Descriptor, Layout, type Reference, type Registry } from '@muster/oci'
import { offeredProblems } from '@muster/overlay'
import type { SignatureKey } from '@muster/trust'
import { PublishError } from './errors.ts'
import { ImageFinder } from './find-image.ts'
import { hasMoved, mirrorOf, type PublishedImage, pushImage, setTag } from './image.ts'
import { ensureSigned } from './signature.ts'

export interface PrepareBundleOptions {
  /** bundle.yaml, or the folder that holds it. */
  readonly sourceDir: string
  /** Instead of the one that bundle.yaml says. */
  readonly version?: string | undefined
  /** An image layout in which everything is put together; kept for the next time. */
  readonly workDir: string
  /** Of image builds. */
  readonly cacheDir: string
  /** Signatures made before are taken from here, and images that it has. Without one, nothing is asked of the network for them. */
  readonly registry?: Registry | undefined
  /** Without one, nothing is signed. */
  readonly signer?: SignatureKey | undefined
  /** The command that renders a folder, such as `['/usr/bin/kubectl', 'kustomize']`, or a function that does. */
  readonly kustomize: readonly string[] | RenderKustomize
  /** Without one, a bundle.yaml with charts is refused. */
  readonly renderHelm?: RenderHelm | undefined
  /** Clients for other registries than `registry`, for what bundle.yaml names in them. Default: one without credentials. */
  readonly openRegistry?: ((reference: Reference) => Promise<Registry>) | undefined
  /** Of the programs that build: where they are looked up (PATH), and what they see of the caller's settings. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Default: the go command on PATH. */
  readonly fetchGoModule?: FetchGoModule | undefined
  readonly signal?: AbortSignal | undefined
  /** A line for a person: what is done now. */
  readonly onProgress?: ((step: string) => void) | undefined
}

export interface PublishBundleOptions extends PrepareBundleOptions {
  /** Where to publish. */
  readonly registry: Registry
}

export interface PreparedBundle {
  readonly layout: Layout
  readonly descriptor: Descriptor
  readonly config: BundleConfig
  /** Texts in its objects that look like images and were not pinned. */
  readonly warnings: readonly ImageWarning[]
}

export interface PublishedBundle {
  /** In the registry: `bundles/<name>`. */
  readonly repository: string
  readonly version: string
  /** The version as a tag: `_` for `+`. */
  readonly tag: string
  readonly digest: string
  /** Of the index, in bytes. */
  readonly size: number
  readonly images: readonly PublishedImage[]
  /** False: an identical bundle was there, and nothing was pushed. */
  readonly changed: boolean
  /** What the version meant before, where that was another bundle. */
  readonly previous?: string
  readonly warnings: readonly ImageWarning[]
}

/** The repository of a bundle. */
export function bundleRepository(name: string): string {
  return `bundles/${name}`
}

/**
 * From source to a signed bundle in a registry, in five steps: build the images that bundle.yaml names (and sign them), make the
 * bundle, sign it, push everything to `bundles/<name>`, push each image to where nodes look for its name. The version's tag is set
 * last: who sees it finds images and signatures.
 * @throws BundleError, ImageError, TrustError, OciError
 */
export async function publishBundle(options: PublishBundleOptions): Promise<PublishedBundle> {
  const prepared = await prepareBundle(options)
  return pushBundle(prepared, options.registry, options)
}

/** The steps on this machine: images built, bundle made, both signed, in the layout. Nothing is pushed. */
export async function prepareBundle(options: PrepareBundleOptions): Promise<PreparedBundle> {
  const { registry, signer, signal, onProgress } = options
  const source = await loadSource(options.sourceDir, options.version)
  const layout = await Layout.open(options.workDir, { create: true })
  const bundles = registry === undefined ? [] : [registry.repository(bundleRepository(source.name))]
  const finder = new ImageFinder({
    source,
    layout,
    cacheDir: options.cacheDir,
    env: options.env,
    registry,
    openRegistry: options.openRegistry,
    beforeBuild: async () => bundles[0]?.resolve(versionTag(source.version), { signal }),
    signal,
    onProgress,
  })
  try {
    onProgress?.(`make bundle ${source.name} ${source.version}`)
    const { kustomize } = options
    const { descriptor, config, warnings } = await makeBundle({
      sourceDir: options.sourceDir,
      version: source.version,
      target: layout,
      images: finder.find,
      renderKustomize: typeof kustomize === 'function' ? kustomize : kustomizeWith(kustomize),
      renderHelm: options.renderHelm,
      findArtifact: finder.artifact,
      fetchGoModule: options.fetchGoModule ?? goModuleWith(options.env),
      signal,
    })
    await demandOffered(layout, descriptor, config, signal)
    for (const { from, why } of config.leftOut ?? []) onProgress?.(`leave out ${from}: ${why}`)
    for (const line of warningLines(warnings)) onProgress?.(line)
    if (signer !== undefined) {
      for (const image of await finder.built()) {
        const name = config.images.find(({ digest }) => digest === image.digest)?.name
        const elsewhere = name === undefined || registry === undefined ? bundles : [mirrorOf(registry, name), ...bundles]
        if (await ensureSigned(layout, image, signer, elsewhere, signal)) onProgress?.(`sign image ${name ?? image.digest}`)
      }
      if (await ensureSigned(layout, descriptor, signer, bundles, signal)) onProgress?.(`sign bundle ${source.name} ${source.version}`)
    }
    return { layout, descriptor, config, warnings }
  } finally {
    await finder.close()
  }
}

/** What a bundle offers to be set must be settable: whoever places it could not mend it. @throws PublishError `ParametersInvalid` */
async function demandOffered(layout: Layout, descriptor: Descriptor, config: BundleConfig, signal: AbortSignal | undefined): Promise<void> {
  if (config.parameters === undefined && config.siteOverlays === undefined) return
  const problems = offeredProblems(await readBundle(layout, descriptor, { signal }))
  if (problems.length === 0) return
  const lines = problems.map(({ message }) => `  ${message}`).join('\n')
  throw new PublishError(
    'ParametersInvalid',
    `What bundle.yaml offers cannot be set; correct parameters: and siteOverlays: in it.\n${lines}`,
  )
}

const warningsShown = 20

function warningLines(warnings: readonly ImageWarning[]): string[] {
  const lines = warnings
    .slice(0, warningsShown)
    .map(
      ({ object, path, image }) =>
        `warning: ${object}, ${path}: ${image} looks like an image and is not pinned; name the field under imageFields:`,
    )
  return warnings.length > warningsShown ? [...lines, `warning: and ${warnings.length - warningsShown} more like these`] : lines
}

/** Pushes what {@link prepareBundle} made. @throws OciError */
export async function pushBundle(
  { layout, descriptor, config, warnings }: PreparedBundle,
  registry: Registry,
  options: Pick<PrepareBundleOptions, 'signal' | 'onProgress'> = {},
): Promise<PublishedBundle> {
  const { signal, onProgress } = options
  const repository = registry.repository(bundleRepository(config.name))
  const tag = versionTag(config.version)
  const before = await repository.resolve(tag, { signal })
  onProgress?.(`push bundle ${config.name} ${config.version}`)
  let changed = hasMoved(await copy(layout, repository, descriptor, { referrers: true, signal }))
  const images: PublishedImage[] = []
  for (const { name, digest, mediaType, size } of config.images) {
    // From repository to repository of one registry, where blobs are taken over without being sent again.
    const image = await pushImage(repository, registry, name, { mediaType, digest, size }, signal)
    if (image.changed) onProgress?.(`push image ${name}`)
    changed ||= image.changed
    images.push(image)
  }
  changed = (await setTag(layout, repository, descriptor, tag, signal)) || changed
  return {
    repository: repository.name,
    version: config.version,
    tag,
    digest: descriptor.digest,
    size: descriptor.size,
    images,
    changed,
    warnings,
    ...(before === undefined || before.digest === descriptor.digest ? {} : { previous: before.digest }),
  }
}
