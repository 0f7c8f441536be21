import path from 'node:path'
import { type ContentSource, type Descriptor, mirrorRepository, parseReference, type Registry } from '@muster/oci'
import { locate, type OpenOptions, openArtifact, openRegistry } from '../artifact.ts'
import type { Context } from '../context.ts'

/** An artifact that was named, and where what belongs to it is kept. */
export interface Place {
  readonly source: ContentSource
  readonly descriptor: Descriptor | undefined
  /** For messages. */
  readonly name: string
  /** Names by which rules may know it as an image, where its place gives it any. */
  readonly imageNames: readonly string[]
  /** The same as a bundle. A folder or file gives none: there the bundle's own name counts. */
  readonly bundleNames: readonly string[]
  /** Where signatures on an image of a bundle may be beside those in the bundle's own place. */
  imagePlaces(name: string): readonly ContentSource[]
}

/** Opens what a command line names, with one connection pool per registry for all of it. */
export class Places {
  readonly #context: Context
  readonly #options: OpenOptions
  readonly #registries = new Map<string, Promise<Registry>>()
  readonly #closers: (() => void)[] = []

  constructor(context: Context, options: OpenOptions) {
    this.#context = context
    this.#options = options
  }

  /** @throws OciError, Failure, UsageError */
  async open(text: string): Promise<Place> {
    const location = await locate(this.#context, text)
    if (location.kind !== 'registry') {
      const artifact = await openArtifact(this.#context, text, this.#options)
      this.#closers.push(() => artifact.close())
      const { store, descriptor, name } = artifact
      // In a layout an image's tag is its whole name; a tag such as 1.0 is a version and names nothing.
      const imageNames = location.tag?.includes('/') === true ? imageName(location.tag) : []
      return { source: store, descriptor, name, imageNames, bundleNames: [], imagePlaces: () => [] }
    }
    const { reference } = location
    // Credentials may be given for a part of a registry.
    const part = `${reference.host}/${path.posix.dirname(reference.repository)}`
    const opening = this.#registries.get(part) ?? openRegistry(this.#context, reference, this.#options)
    this.#registries.set(part, opening)
    const registry = await opening
    const source = registry.repository(reference.repository)
    const descriptor = await source.resolve(reference.digest ?? reference.tag ?? 'latest', { signal: this.#context.signal })
    const repository = `${reference.host}/${reference.repository}`
    return {
      source,
      descriptor,
      name: `${repository}${reference.tag === undefined ? '' : `:${reference.tag}`}`,
      imageNames: [...mirrored(reference.repository), repository],
      bundleNames: [reference.repository, repository],
      imagePlaces: (name) => (reference.repository.startsWith('bundles/') ? mirrorsOf(registry, name) : []),
    }
  }

  async close(): Promise<void> {
    for (const close of this.#closers) close()
    for (const opening of await Promise.allSettled(this.#registries.values())) if (opening.status === 'fulfilled') opening.value.close()
  }
}

/** The names of an image, without tag and digest: as written, and as engines read it (`nginx` is `docker.io/library/nginx`). */
export function imageName(text: string | undefined): string[] {
  if (text === undefined) return []
  try {
    const { host, repository } = parseReference(text)
    const written = text.split('@', 1)[0] ?? ''
    const bare = written.lastIndexOf(':') > written.lastIndexOf('/') ? written.slice(0, written.lastIndexOf(':')) : written
    return [...new Set([`${host}/${repository}`, bare])]
  } catch {
    // What is no name matches no rule but the widest.
    return []
  }
}

/** The name that an image had before it was put into a registry that mirrors it: `mirror/<host>/<path>`. */
function mirrored(repository: string): string[] {
  const match = /^mirror\/([^/]+)\/(.+)$/.exec(repository)
  return match?.[1] === undefined ? [] : [`${match[1].replace('__', ':')}/${match[2]}`]
}

function mirrorsOf(registry: Registry, name: string): ContentSource[] {
  try {
    return [registry.repository(mirrorRepository(parseReference(name)))]
  } catch {
    // Such a name cannot be mirrored.
    return []
  }
}
