import { createReadStream } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join, resolve as resolvePath } from 'node:path'
import type { CallOptions, ContentSource, ContentTarget, PutBlobOptions } from '../content.ts'
import { digestHex, digestOf, isDigest, verifyBytes, verifyStream } from '../digest.ts'
import { ensureDirectory, errno, readBounded, storageError, writeAtomic, writeStreamAtomic } from '../disk.ts'
import { OciError } from '../errors.ts'
import { type Descriptor, maximumManifestBytes, mediaTypes, parseManifest, referrerDescriptor } from '../manifest.ts'
import { addReferrer, filterReferrers, readReferrers, referrersTag } from '../referrers.ts'
import { layoutVersion, layoutVersionOf, maximumIndexBytes, named, readIndexFile, refName, tagNames } from './index-file.ts'
import { withLockFile } from './lock.ts'

const abandonedMs = 60 * 60 * 1000
const temporaryName = '.muster-tmp'

/**
 * An OCI image layout in a directory (image-spec, "OCI Image Layout"). Files appear whole or not at all, also after a crash, and any
 * number of processes may write to one layout at once. Tags are `org.opencontainers.image.ref.name` in index.json, any name that has no
 * line break; referrers are listed at the tag `sha256-<hex>` of their subject.
 */
export class Layout implements ContentSource, ContentTarget {
  readonly directory: string
  readonly #temporary: string
  /** Writers of index.json in this process queue here; those of other processes meet at the lock file. */
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(directory: string) {
    this.directory = directory
    this.#temporary = join(directory, temporaryName)
  }

  /**
   * Opens a layout, or makes one with `create`.
   * @throws OciError `NotFound` when there is none, `Unsupported` for another version, `Storage`
   */
  static async open(directory: string, options: { create?: boolean } = {}): Promise<Layout> {
    const layout = new Layout(resolvePath(directory))
    const marker = join(layout.directory, 'oci-layout')
    const present = await readBounded(marker, 64 * 1024)
    if (present === undefined && options.create !== true) {
      throw new OciError('NotFound', `${layout.directory} is not an OCI layout: it has no file "oci-layout". Check the path.`)
    }
    if (present !== undefined && layoutVersionOf(present) !== layoutVersion) {
      throw new OciError('Unsupported', `${layout.directory} is an OCI layout of another version than ${layoutVersion}.`)
    }
    try {
      await ensureDirectory(join(layout.directory, 'blobs', 'sha256'))
      await ensureDirectory(layout.#temporary)
      await layout.#removeAbandoned()
    } catch (error) {
      // A layout that may only be read, such as one on a read-only mount, is fine to read.
      if (present === undefined) throw storageError(error, layout.directory)
    }
    if (present === undefined) {
      await layout.#updateIndex(undefined, (entries) => entries)
      await writeAtomic(marker, encode({ imageLayoutVersion: layoutVersion }), layout.#temporary)
    }
    return layout
  }

  async resolve(tagOrDigest: string, _options: CallOptions = {}): Promise<Descriptor | undefined> {
    if (!isDigest(tagOrDigest)) {
      const entry = named(await this.#entries(), tagOrDigest)
      return entry && { mediaType: entry.mediaType, digest: entry.digest, size: entry.size }
    }
    const bytes = await readBounded(this.#blobPath(tagOrDigest), maximumManifestBytes)
    return bytes === undefined ? undefined : { mediaType: parseManifest(bytes).mediaType, digest: tagOrDigest, size: bytes.length }
  }

  async manifest(digest: string, _options: CallOptions = {}): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const bytes = await readBounded(this.#blobPath(digest), maximumManifestBytes)
    if (bytes === undefined) throw this.#missing(digest)
    verifyBytes(bytes, { digest, size: bytes.length }, this.directory)
    return { descriptor: { mediaType: parseManifest(bytes).mediaType, digest, size: bytes.length }, bytes }
  }

  blob(descriptor: Descriptor, options: CallOptions = {}): AsyncGenerator<Uint8Array> {
    return verifyStream(this.blobRest(descriptor, 0, options), descriptor, this.directory)
  }

  async *blobRest(descriptor: Descriptor, from: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const path = this.#blobPath(descriptor.digest)
    try {
      yield* createReadStream(path, { start: from, ...(signal === undefined ? {} : { signal }) })
    } catch (error) {
      signal?.throwIfAborted()
      throw errno(error) === 'ENOENT' ? this.#missing(descriptor.digest) : storageError(error, path)
    }
  }

  async referrers(digest: string, options: CallOptions & { artifactType?: string | undefined } = {}): Promise<Descriptor[]> {
    return filterReferrers(await this.#referrersOf(digest, await this.#entries()), options.artifactType)
  }

  async hasManifest(digest: string, _options: CallOptions = {}): Promise<boolean> {
    return (await this.#sizeOf(digest)) !== undefined
  }

  async hasBlob(descriptor: Descriptor, _options: CallOptions = {}): Promise<boolean> {
    return (await this.#sizeOf(descriptor.digest)) === descriptor.size
  }

  async putManifest(bytes: Uint8Array, mediaType: string, options: CallOptions & { tag?: string | undefined } = {}): Promise<Descriptor> {
    options.signal?.throwIfAborted()
    const manifest = parseManifest(bytes, mediaType)
    // Read back without a transport that says the type: the content itself must.
    if (parseManifest(bytes).mediaType !== mediaType)
      throw new OciError('InvalidManifest', `A manifest of ${mediaType} must say so in its mediaType to be kept in a layout.`)
    const { tag } = options
    if (tag !== undefined) checkName(tag)
    const descriptor: Descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    await writeAtomic(this.#blobPath(descriptor.digest), bytes, this.#temporary)
    const { subject } = manifest
    if (tag === undefined && subject === undefined) return descriptor
    await this.#updateIndex(options.signal, async (entries) => {
      const listed =
        subject === undefined ? entries : await this.#withReferrer(entries, subject.digest, referrerDescriptor(descriptor, manifest))
      return tag === undefined ? listed : tagged(listed, tag, descriptor)
    })
    return descriptor
  }

  async putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, options: PutBlobOptions = {}): Promise<void> {
    const { signal } = options
    signal?.throwIfAborted()
    const own = abortable(content(), signal)
    const verified = options.verified === true ? own : verifyStream(own, descriptor, 'the content to write')
    await writeStreamAtomic(this.#blobPath(descriptor.digest), verified, this.#temporary)
  }

  /** The tags, in the order of index.json; referrers' lists are not among them. */
  async tags(): Promise<string[]> {
    return tagNames(await this.#entries())
  }

  /** Takes a tag away; content stays. False: it was not there. */
  async untag(tag: string, options: CallOptions = {}): Promise<boolean> {
    let found = false
    await this.#updateIndex(options.signal, (entries) => {
      const rest = entries.filter((entry) => entry.annotations?.[refName] !== tag)
      found = rest.length < entries.length
      return rest
    })
    return found
  }

  #blobPath(digest: string): string {
    return join(this.directory, 'blobs', 'sha256', digestHex(digest))
  }

  async #sizeOf(digest: string): Promise<number | undefined> {
    try {
      return (await stat(this.#blobPath(digest))).size
    } catch (error) {
      if (errno(error) === 'ENOENT') return undefined
      throw storageError(error, this.directory)
    }
  }

  #missing(digest: string): OciError {
    return new OciError('NotFound', `${digest} is not in the layout ${this.directory}. Copy it there first.`)
  }

  async #referrersOf(digest: string, entries: readonly Descriptor[]): Promise<Descriptor[]> {
    const list = named(entries, referrersTag(digest))
    return list === undefined ? [] : readReferrers((await this.manifest(list.digest)).bytes)
  }

  async #withReferrer(entries: readonly Descriptor[], subject: string, referrer: Descriptor): Promise<Descriptor[]> {
    const bytes = addReferrer(await this.#referrersOf(subject, entries), referrer)
    if (bytes === undefined) return [...entries]
    const list: Descriptor = { mediaType: mediaTypes.imageIndex, digest: digestOf(bytes), size: bytes.length }
    await writeAtomic(this.#blobPath(list.digest), bytes, this.#temporary)
    return tagged(entries, referrersTag(subject), list)
  }

  async #entries(): Promise<Descriptor[]> {
    const path = join(this.directory, 'index.json')
    const bytes = await readBounded(path, maximumIndexBytes)
    if (bytes === undefined) return []
    return readIndexFile(bytes, path).entries
  }

  #updateIndex(
    signal: AbortSignal | undefined,
    change: (entries: readonly Descriptor[]) => readonly Descriptor[] | Promise<readonly Descriptor[]>,
  ): Promise<void> {
    const path = join(this.directory, 'index.json')
    const update = async (): Promise<void> => {
      await withLockFile(join(this.#temporary, 'index.lock'), signal, async () => {
        const manifests = await change(await this.#entries())
        await writeAtomic(path, encode({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests }), this.#temporary)
      })
    }
    const mine = this.#queue.then(update, update)
    this.#queue = mine.catch(() => {})
    return mine
  }

  /** Files that a killed process left; a file that is being written is younger. */
  async #removeAbandoned(): Promise<void> {
    for (const name of await readdir(this.#temporary)) {
      const path = join(this.#temporary, name)
      try {
        if (Date.now() - (await stat(path)).mtimeMs > abandonedMs) await rm(path, { force: true })
      } catch (error) {
        if (errno(error) !== 'ENOENT') throw error
      }
    }
  }
}

function tagged(entries: readonly Descriptor[], tag: string, descriptor: Descriptor): Descriptor[] {
  const entry = { ...descriptor, annotations: { [refName]: tag } }
  const at = entries.findIndex((candidate) => candidate.annotations?.[refName] === tag)
  return at < 0 ? [...entries, entry] : entries.with(at, entry)
}

function checkName(tag: string): void {
  if (tag !== '' && tag.length <= 512 && !isDigest(tag) && !/\p{Cc}/u.test(tag)) return
  throw new OciError(
    'InvalidReference',
    `"${tag.slice(0, 100)}" cannot be a tag in a layout: use 1 to 512 characters without line breaks, and no digest.`,
  )
}

async function* abortable(content: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    signal?.throwIfAborted()
    yield chunk
  }
}

function encode(json: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(json))
}
