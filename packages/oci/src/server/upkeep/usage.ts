import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../../disk.ts'
import type { Store } from '../store.ts'

export interface RepositoryUsage {
  readonly name: string
  readonly manifests: number
  readonly tags: number
  /** Bytes of what it holds; content that others hold too counts in each of them. */
  readonly bytes: number
}

export interface Usage {
  readonly repositories: readonly RepositoryUsage[]
  /** Content on disk, each once. */
  readonly content: { readonly count: number; readonly bytes: number }
}

/** Looks at every repository and all content. Takes a stat(2) for each piece of content, once. */
export async function measure(store: Store, signal?: AbortSignal): Promise<Usage> {
  const sizes = new Map<string, number>()
  for await (const hexes of store.contents()) {
    signal?.throwIfAborted()
    for (const hex of hexes) {
      const size = await store.contentSize(`sha256:${hex}`)
      if (size !== undefined) sizes.set(hex, size)
    }
  }
  const repositories: RepositoryUsage[] = []
  for (const name of await store.allRepositories()) {
    signal?.throwIfAborted()
    const [blobs, manifests, tags] = await Promise.all([store.heldBlobs(name), store.heldManifests(name), store.tags(name)])
    const bytes = [...new Set([...blobs, ...manifests])].reduce((sum, hex) => sum + (sizes.get(hex) ?? 0), 0)
    repositories.push({ name, manifests: manifests.length, tags: tags.length, bytes })
  }
  return { repositories, content: { count: sizes.size, bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0) } }
}

/** When a tag was last set, and when a manifest was last put, in milliseconds since 1970; undefined: it is not there. */
export function tagTime(store: Store, repository: string, tag: string): Promise<number | undefined> {
  return timeOf(join(store.root, 'repositories', repository, '_tags', tag))
}

export function manifestTime(store: Store, repository: string, hex: string): Promise<number | undefined> {
  return timeOf(join(store.root, 'repositories', repository, '_manifests', hex))
}

async function timeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw error
  }
}
