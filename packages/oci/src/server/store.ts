import { readdir, rm, stat, utimes } from 'node:fs/promises'
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
  readonly #now: () => number
  readonly #queue = new KeyedQueue()
  /** What a repository began to hold since the running collection began to look; undefined while none runs. */
  #taken: Set<string> | undefined
  /** What is being taken now. */
  readonly #taking = new Set<string>()

  private constructor(root: string, now: () => number) {
    this.root = root
    this.#now = now
    this.#temporary = join(root, 'tmp')
  }

  static async open(root: string, now: () => number): Promise<Store> {
    const store = new Store(root, now)
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
    return this.#queue.run(`repository ${repository}`, work)
  }

  contentPath(digest: string): string {
    const hex = digestHex(digest)
    return join(this.root, 'blobs', 'sha256', hex.slice(0, 2), hex)
  }

  /** Size in bytes of content, whichever repository holds it. */
  contentSize(digest: string): Promise<number | undefined> {
    return sizeOf(this.contentPath(digest))
  }

  /** Takes a synced file over as content that a repository holds. Replaces what is there: pushing again repairs damage. */
  async adoptBlob(repository: string, file: string, digest: string): Promise<void> {
    await this.#holding(digest, async () => {
      await place(file, this.contentPath(digest))
      await this.#linkBlob(repository, digest)
    })
  }

  /** Lets a repository hold content that is there already. False: it is not. */
  async mountBlob(repository: string, digest: string, from: string | null): Promise<boolean> {
    return this.#holding(digest, async () => {
      const size = from === null ? await this.contentSize(digest) : await this.blobSize(from, digest)
      if (size !== undefined) await this.#linkBlob(repository, digest)
      return size !== undefined
    })
  }

  async exists(repository: string): Promise<boolean> {
    return (await sizeOf(this.#path(repository, '_manifests'))) !== undefined
  }

  /** Size in bytes of a blob that this repository holds. */
  async blobSize(repository: string, digest: string): Promise<number | undefined> {
    const linked = await sizeOf(this.#path(repository, '_blobs', digestHex(digest)))
    return linked === undefined ? undefined : this.contentSize(digest)
  }

  /** A pusher asked for this blob and will rely on the answer: its time of grace begins again. */
  async renewBlob(repository: string, digest: string): Promise<void> {
    await this.#changingLink(repository, digest, () => this.#renew(this.#path(repository, '_blobs', digestHex(digest))))
  }

  unlinkBlob(repository: string, digest: string): Promise<boolean> {
    const path = this.#path(repository, '_blobs', digestHex(digest))
    return this.exclusively(repository, () => this.#changingLink(repository, digest, () => remove(path)))
  }

  /**
   * Removes the links of blobs that this repository took before `before` (milliseconds since 1970) and that none of its manifests
   * names. Call inside {@link exclusively}, with what the manifests name found out there too.
   */
  async unlinkBlobs(repository: string, hexes: readonly string[], before: number): Promise<number> {
    let removed = 0
    for (const hex of hexes) {
      const path = this.#path(repository, '_blobs', hex)
      const gone = await this.#changingLink(repository, `sha256:${hex}`, () => removeOld(path, before))
      if (gone !== undefined) removed += 1
    }
    // On disk before content goes: a link to what is gone would be worse than content without a link.
    if (removed > 0) await syncDirectory(this.#path(repository, '_blobs'))
    return removed
  }

  /** Digests, in hex, of the blobs that a repository holds. */
  async heldBlobs(repository: string): Promise<string[]> {
    return (await list(this.#path(repository, '_blobs'))).filter(isHex)
  }

  /** Digests, in hex, of the manifests that a repository holds. */
  async heldManifests(repository: string): Promise<string[]> {
    return (await list(this.#path(repository, '_manifests'))).filter(isHex)
  }

  /**
   * Runs a collection: while it does, everything that a repository begins to hold is remembered, so that {@link removeContent} cannot
   * take it, however long ago the collection looked at that repository. One at a time.
   */
  async collecting<T>(work: () => Promise<T>): Promise<T> {
    this.#taken = new Set(this.#taking)
    try {
      return await work()
    } finally {
      this.#taken = undefined
    }
  }

  /** Content of the whole registry, in hex, a folder of it at a time. */
  async *contents(): AsyncGenerator<string[]> {
    const directory = join(this.root, 'blobs', 'sha256')
    for (const folder of await list(directory)) yield (await list(join(directory, folder))).filter(isHex)
  }

  /** Removes content older than `before` that nobody took since the collection began. Its size in bytes, or undefined: it stays. */
  removeContent(hex: string, before: number): Promise<number | undefined> {
    return this.#queue.run(`content ${hex}`, async () =>
      this.#taken?.has(hex) === false ? removeOld(this.contentPath(`sha256:${hex}`), before) : undefined,
    )
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
    await this.#holding(manifest.digest, async () => {
      await writeAtomic(this.contentPath(manifest.digest), manifest.bytes, this.#temporary)
      await this.#write(this.#path(repository, '_manifests', hex), manifest.mediaType)
    })
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
    return (await this.#folders()).filter(({ entries }) => entries.includes('_manifests')).map(({ name }) => name)
  }

  /** Those too whose first push is on its way. */
  async allRepositories(): Promise<string[]> {
    return (await this.#folders())
      .filter(({ entries }) => entries.includes('_manifests') || entries.includes('_blobs'))
      .map(({ name }) => name)
  }

  async #folders(): Promise<{ name: string; entries: string[] }[]> {
    const found: { name: string; entries: string[] }[] = []
    const walk = async (name: string): Promise<void> => {
      const entries = await list(join(this.root, 'repositories', name))
      found.push({ name, entries })
      for (const entry of entries) {
        const below = name === '' ? entry : `${name}/${entry}`
        if (!entry.startsWith('_') && isRepository(below)) await walk(below)
      }
    }
    await walk('')
    return found.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async #linkBlob(repository: string, digest: string): Promise<void> {
    const path = this.#path(repository, '_blobs', digestHex(digest))
    await this.#changingLink(repository, digest, async () => {
      if (!(await this.#renew(path))) await writeAtomic(path, new Uint8Array(), this.#temporary)
    })
  }

  /** False: there is no such file. */
  async #renew(path: string): Promise<boolean> {
    const now = this.#now() / 1000
    try {
      await utimes(path, now, now)
      return true
    } catch (error) {
      if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return false
      throw storageError(error, path)
    }
  }

  /** A repository takes content: nothing removes that content meanwhile, nor later in a collection that has begun. */
  #holding<T>(digest: string, work: () => Promise<T>): Promise<T> {
    const hex = digestHex(digest)
    return this.#queue.run(`content ${hex}`, async () => {
      this.#taken?.add(hex)
      this.#taking.add(hex)
      try {
        return await work()
      } finally {
        this.#taking.delete(hex)
      }
    })
  }

  #changingLink<T>(repository: string, digest: string, work: () => Promise<T>): Promise<T> {
    return this.#queue.run(`link ${repository} ${digest}`, work)
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

/** Removes a file last changed before `before`. Its size, or undefined: it is younger, or not there. */
async function removeOld(path: string, before: number): Promise<number | undefined> {
  try {
    const { size, mtimeMs } = await stat(path)
    if (mtimeMs >= before) return undefined
    await rm(path)
    return size
  } catch (error) {
    if (errno(error) === 'ENOENT') return undefined
    throw storageError(error, path)
  }
}

function isHex(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name)
}
