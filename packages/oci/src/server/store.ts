import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { digestHex, isDigest } from '../digest.ts'
import { ensureDirectory, errno, place, readBounded, storageError, syncDirectory, writeAtomic } from '../disk.ts'
import { OciError } from '../errors.ts'
import { type Descriptor, maximumManifestBytes, readDescriptor } from '../manifest.ts'
import { isRepository, isTag } from '../reference.ts'
import { KeyedQueue } from './keyed-queue.ts'

const smallFile = 64 * 1024

export interface StoredManifest {
  readonly digest: string
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/**
 * The registry on disk:
 *
 *     blobs/sha256/aa/<hex>                                content, shared by all repositories
 *     repositories/<name>/_blobs/<hex>                     this repository holds that blob (empty file)
 *     repositories/<name>/_manifests/<hex>                 and that manifest (its media type)
 *     repositories/<name>/_tags/<tag>                      a digest
 *     repositories/<name>/_referrers/<subject>/<hex>       the descriptor listed for a subject
 *     uploads/<id>/                                        uploads on their way
 *     tmp/                                                 files not yet in their place
 *
 * Each file appears whole (synced, renamed, directory synced), and what is pointed to appears before what points to it: a crash at any
 * line leaves at most content that nothing points to. Names given here must have been checked: they become paths.
 */
export class Store {
  readonly root: string
  readonly #temporary: string
  readonly #queue = new KeyedQueue()

  private constructor(root: string) {
    this.root = root
    this.#temporary = join(root, 'tmp')
  }

  static async open(root: string): Promise<Store> {
    const store = new Store(root)
    try {
      // Nothing in there has an owner after a restart.
      await rm(store.#temporary, { recursive: true, force: true })
      for (const name of ['blobs/sha256', 'repositories', 'tmp']) await ensureDirectory(join(root, name))
    } catch (error) {
      throw storageError(error, root)
    }
    return store
  }

  /** Runs changes of one repository one after another. */
  exclusively<T>(repository: string, work: () => Promise<T>): Promise<T> {
    return this.#queue.run(repository, work)
  }

  contentPath(digest: string): string {
    const hex = digestHex(digest)
    return join(this.root, 'blobs', 'sha256', hex.slice(0, 2), hex)
  }

  /** Size in bytes of content, whichever repository holds it. */
  contentSize(digest: string): Promise<number | undefined> {
    return sizeOf(this.contentPath(digest))
  }

  /** Takes a synced file over as content. Replaces what is there: pushing again repairs damage. */
  async adoptContent(file: string, digest: string): Promise<void> {
    await place(file, this.contentPath(digest))
  }

  async exists(repository: string): Promise<boolean> {
    return (await sizeOf(this.#path(repository, '_manifests'))) !== undefined
  }

  /** Size in bytes of a blob that this repository holds. */
  async blobSize(repository: string, digest: string): Promise<number | undefined> {
    const linked = await sizeOf(this.#path(repository, '_blobs', digestHex(digest)))
    return linked === undefined ? undefined : this.contentSize(digest)
  }

  async linkBlob(repository: string, digest: string): Promise<void> {
    const path = this.#path(repository, '_blobs', digestHex(digest))
    if ((await sizeOf(path)) === undefined) await writeAtomic(path, new Uint8Array(), this.#temporary)
  }

  unlinkBlob(repository: string, digest: string): Promise<boolean> {
    return this.exclusively(repository, () => remove(this.#path(repository, '_blobs', digestHex(digest))))
  }

  async manifestSize(repository: string, digest: string): Promise<number | undefined> {
    const linked = await sizeOf(this.#path(repository, '_manifests', digestHex(digest)))
    return linked === undefined ? undefined : this.contentSize(digest)
  }

  async manifest(repository: string, reference: string): Promise<StoredManifest | undefined> {
    const digest = isDigest(reference) ? reference : await this.tagged(repository, reference)
    if (digest === undefined) return undefined
    const mediaType = await readText(this.#path(repository, '_manifests', digestHex(digest)))
    const bytes = mediaType === undefined ? undefined : await readBounded(this.contentPath(digest), maximumManifestBytes)
    return mediaType === undefined || bytes === undefined ? undefined : { digest, mediaType, bytes }
  }

  /** Call inside {@link exclusively}, after its children were found. */
  async putManifest(
    repository: string,
    manifest: StoredManifest,
    extra: { tag: string | undefined; subject: string | undefined; listing: Descriptor },
  ): Promise<void> {
    const hex = digestHex(manifest.digest)
    await writeAtomic(this.contentPath(manifest.digest), manifest.bytes, this.#temporary)
    await this.#write(this.#path(repository, '_manifests', hex), manifest.mediaType)
    if (extra.subject !== undefined) {
      await this.#write(this.#path(repository, '_referrers', digestHex(extra.subject), hex), JSON.stringify(extra.listing))
    }
    if (extra.tag !== undefined) await this.#write(this.#path(repository, '_tags', extra.tag), manifest.digest)
  }

  /** Removes a manifest with its tags and its place among referrers. Call inside {@link exclusively}. */
  async removeManifest(repository: string, digest: string, subject: string | undefined): Promise<boolean> {
    const hex = digestHex(digest)
    for (const tag of await this.tags(repository)) {
      if ((await this.tagged(repository, tag)) === digest) await this.removeTag(repository, tag)
    }
    if (subject !== undefined) await remove(this.#path(repository, '_referrers', digestHex(subject), hex))
    return remove(this.#path(repository, '_manifests', hex))
  }

  /** The digest that a tag names. */
  async tagged(repository: string, tag: string): Promise<string | undefined> {
    const digest = await readText(this.#path(repository, '_tags', tag))
    if (digest !== undefined && !isDigest(digest)) throw new OciError('Storage', `The tag ${repository}:${tag} is damaged. Push it again.`)
    return digest
  }

  removeTag(repository: string, tag: string): Promise<boolean> {
    return remove(this.#path(repository, '_tags', tag))
  }

  async tags(repository: string): Promise<string[]> {
    return (await list(this.#path(repository, '_tags'))).filter(isTag)
  }

  /** What refers to a manifest, ordered by digest. */
  async referrers(repository: string, subject: string): Promise<Descriptor[]> {
    const directory = this.#path(repository, '_referrers', digestHex(subject))
    const found: Descriptor[] = []
    for (const name of (await list(directory)).sort()) {
      const bytes = await readBounded(join(directory, name), maximumManifestBytes)
      if (bytes !== undefined) found.push(readDescriptor(JSON.parse(new TextDecoder().decode(bytes)), `${directory}/${name}`))
    }
    return found
  }

  /** Names of all repositories that hold a manifest, in byte order. */
  async repositories(): Promise<string[]> {
    const names: string[] = []
    const walk = async (name: string): Promise<void> => {
      for (const entry of await list(join(this.root, 'repositories', name))) {
        if (entry === '_manifests') names.push(name)
        const below = name === '' ? entry : `${name}/${entry}`
        if (!entry.startsWith('_') && isRepository(below)) await walk(below)
      }
    }
    await walk('')
    return names.sort()
  }

  #path(repository: string, ...rest: string[]): string {
    return join(this.root, 'repositories', repository, ...rest)
  }

  async #write(path: string, text: string): Promise<void> {
    await writeAtomic(path, new TextEncoder().encode(text), this.#temporary)
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw storageError(error, path)
  }
}

async function readText(path: string): Promise<string | undefined> {
  const bytes = await readBounded(path, smallFile)
  return bytes && new TextDecoder().decode(bytes)
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return []
    throw storageError(error, directory)
  }
}

async function remove(path: string): Promise<boolean> {
  try {
    await rm(path)
    await syncDirectory(dirname(path))
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw storageError(error, path)
  }
}
