import { dirname } from 'node:path'
import { type BundleSource, type FindArtifact, type FindImage, type FoundImage, imageSourceOf } from '@muster/bundle'
import { buildImage, loadRecipe } from '@muster/image'
import { type Descriptor, Layout, parseLocation, parseReference, type Reference, Registry } from '@muster/oci'

export interface ImageFinderOptions {
  readonly source: BundleSource
  /** Where images are built into. */
  readonly layout: Layout
  readonly cacheDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** A registry whose client is there already. */
  readonly registry?: Registry | undefined
  /** Clients for others, one a host; closed with the finder. Default: one without credentials. */
  readonly openRegistry?: ((reference: Reference) => Promise<Registry>) | undefined
  /** Awaited once, before the first build: what would stop the work after it should stop it before. */
  readonly beforeBuild?: (() => Promise<unknown>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((step: string) => void) | undefined
}

/** Finds images as bundle.yaml says: builds them, or reads them from a layout or a registry. */
export class ImageFinder {
  readonly #options: ImageFinderOptions
  /** By recipe: several names may stand for one image. */
  readonly #built = new Map<string, Promise<Descriptor>>()
  #checked: Promise<unknown> | undefined
  readonly #registries = new Map<string, Promise<Registry>>()

  constructor(options: ImageFinderOptions) {
    this.#options = options
  }

  /** The images that were built here, each once. */
  async built(): Promise<Descriptor[]> {
    const all = await Promise.all(this.#built.values())
    return [...new Map(all.map((descriptor) => [descriptor.digest, descriptor])).values()]
  }

  readonly find: FindImage = async (name, origins = []) => {
    const entry = imageSourceOf(this.#options.source, name)
    if (entry === undefined) return this.#firstOf(origins)
    const { origin } = entry
    if ('build' in origin) return { source: this.#options.layout, descriptor: await this.#build(origin.build, name) }
    if ('layout' in origin) return this.#inLayout(origin.layout, name)
    return this.#inRegistry(origin.reference, name)
  }

  /** What a registry has under a reference; one without a host is in the registry that is there already. */
  readonly artifact: FindArtifact = async (text, signal) => {
    const location = parseLocation(text, this.#options.registry === undefined ? {} : { host: this.#options.registry.host })
    if (location.kind !== 'registry') return undefined
    const { repository, digest, tag } = location.reference
    const source = (await this.#registry(location.reference)).repository(repository)
    const descriptor = await source.resolve(digest ?? tag ?? 'latest', { signal })
    return descriptor === undefined ? undefined : { source, descriptor }
  }

  /** Ends connections to registries that images were read from. */
  async close(): Promise<void> {
    for (const opened of await Promise.allSettled(this.#registries.values())) if (opened.status === 'fulfilled') opened.value.close()
  }

  async #firstOf(origins: readonly string[]): Promise<FoundImage | undefined> {
    for (const origin of origins) {
      const found = await this.artifact(origin, this.#options.signal)
      if (found !== undefined) return found
    }
    return undefined
  }

  #build(recipeFile: string, name: string): Promise<Descriptor> {
    const present = this.#built.get(recipeFile)
    if (present !== undefined) return present
    const building = this.#buildOnce(recipeFile, name)
    this.#built.set(recipeFile, building)
    return building
  }

  async #buildOnce(recipeFile: string, name: string): Promise<Descriptor> {
    const { layout, cacheDir, env, signal, onProgress } = this.#options
    this.#checked ??= this.#options.beforeBuild?.()
    await this.#checked
    onProgress?.(`build image ${name}`)
    const { descriptor } = await buildImage(await loadRecipe(recipeFile), {
      target: layout,
      cacheDir,
      baseDir: dirname(recipeFile),
      env,
      name: name.split('@')[0] ?? name,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined ? {} : { onProgress }),
    })
    return descriptor
  }

  /** A layout names images in full, by tag alone, or by digest. */
  async #inLayout(directory: string, name: string): Promise<FoundImage | undefined> {
    const source = await Layout.open(directory)
    const { tag, digest } = parseReference(name)
    for (const candidate of digest === undefined ? [name, tag ?? 'latest'] : [digest]) {
      const descriptor = await source.resolve(candidate, { signal: this.#options.signal })
      if (descriptor !== undefined) return { source, descriptor }
    }
    return undefined
  }

  async #inRegistry(reference: string, name: string): Promise<FoundImage | undefined> {
    const wanted = parseReference(name).digest
    const where = parseReference(reference)
    const { repository, tag, digest } = where
    const source = (await this.#registry(where)).repository(repository)
    const descriptor = await source.resolve(wanted ?? digest ?? tag ?? 'latest', { signal: this.#options.signal })
    return descriptor === undefined ? undefined : { source, descriptor }
  }

  async #registry(reference: Reference): Promise<Registry> {
    const { host } = reference
    if (host === this.#options.registry?.host) return this.#options.registry
    const present = this.#registries.get(host)
    if (present !== undefined) return present
    const registry = this.#options.openRegistry?.(reference) ?? Promise.resolve(new Registry({ host }))
    this.#registries.set(host, registry)
    return registry
  }
}
