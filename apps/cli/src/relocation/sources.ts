import {
  Archive,
  type ContentSource,
  formatLocation,
  Layout,
  type Location,
  mirrorRepository,
  parseLocation,
  parseReference,
  type Registry,
} from '@muster/oci'
import type { SourceArtifact } from '@muster/relocate'
import { locate, type OpenOptions, openRegistry } from '../artifact.ts'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'

/** What is to be relocated, and how it is called where several have a place. */
export interface NamedSource extends SourceArtifact {
  /** As the command line, or a layout, names it; `muster verify` opens the same by it. */
  readonly text: string
  readonly repository?: string | undefined
  readonly tag?: string | undefined
}

/** Opens what the command line names; of a layout or an archive without a tag, all that it holds. */
export class Sources {
  readonly #context: Context
  readonly #options: OpenOptions
  readonly #closers: (() => unknown)[] = []

  constructor(context: Context, options: OpenOptions) {
    this.#context = context
    this.#options = options
  }

  /** @throws OciError, Failure, UsageError */
  async open(text: string): Promise<NamedSource[]> {
    const location = await locate(this.#context, text)
    return location.kind === 'registry' ? [await this.#inRegistry(text, location)] : this.#inLayout(location)
  }

  async close(): Promise<void> {
    for (const close of this.#closers) await close()
  }

  async #inRegistry(text: string, { reference }: Extract<Location, { kind: 'registry' }>): Promise<NamedSource> {
    const registry = await openRegistry(this.#context, reference, this.#options)
    this.#closers.push(() => registry.close())
    const store = registry.repository(reference.repository)
    const { tag = 'latest', digest, repository } = reference
    const descriptor = await store.resolve(digest ?? tag, { signal: this.#context.signal })
    if (descriptor === undefined) throw missing(text)
    return {
      text,
      name: text,
      store,
      descriptor,
      repository,
      tag: digest === undefined ? tag : reference.tag,
      ...(repository.startsWith('bundles/') ? { mirrorOf: (name: string) => mirrorIn(registry, name) } : {}),
    }
  }

  async #inLayout(location: Extract<Location, { kind: 'layout' | 'archive' }>): Promise<NamedSource[]> {
    const store = location.kind === 'layout' ? await Layout.open(location.dir) : await this.#archive(location.file)
    const whole = formatLocation(location)
    if (location.digest !== undefined) return [await this.#named(store, location, location.digest)]
    const tags = location.tag === undefined ? await store.tags() : [location.tag]
    if (tags.length === 0) throw new Failure(`${whole} holds nothing that has a name. Say which by its digest: ${whole}@sha256:….`)
    return Promise.all(tags.map((tag) => this.#named(store, location, tag)))
  }

  async #archive(file: string): Promise<Archive> {
    const archive = await Archive.open(file, { signal: this.#context.signal })
    this.#closers.push(() => archive.close())
    return archive
  }

  async #named(store: Layout | Archive, location: Extract<Location, { kind: 'layout' | 'archive' }>, which: string): Promise<NamedSource> {
    const text = formatLocation(location.digest === undefined ? { ...location, tag: which } : location)
    const descriptor = await store.resolve(which)
    if (descriptor === undefined) throw missing(text)
    return { text, name: text, store, descriptor, ...(location.digest === undefined ? labelOf(which) : {}) }
  }
}

/** A name in a layout is a tag alone, or a repository with one. */
function labelOf(name: string): { repository?: string | undefined; tag?: string | undefined } {
  if (!/[:/]/.test(name)) return { tag: name }
  try {
    const location = parseLocation(name, { host: 'layout.invalid' })
    return location.kind === 'registry' ? { repository: location.reference.repository, tag: location.reference.tag } : {}
  } catch {
    // A layout may have any name; then the target must say its own.
    return {}
  }
}

function mirrorIn(registry: Registry, name: string): ContentSource | undefined {
  try {
    return registry.repository(mirrorRepository(parseReference(name)))
  } catch {
    // Such a name cannot be mirrored.
    return undefined
  }
}

function missing(text: string): Failure {
  return new Failure(`${text} is not there. Check the name and the tag.`)
}
