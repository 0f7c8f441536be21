import type { CallOptions, ContentSource, ContentTarget } from '../content.ts'
import { isDigest, verifyBytes, verifyStream } from '../digest.ts'
import { OciError } from '../errors.ts'
import { layoutVersion, layoutVersionOf, maximumIndexBytes, named, readIndexFile, tagNames } from '../layout/index-file.ts'
import { type Descriptor, maximumManifestBytes, parseManifest } from '../manifest.ts'
import { filterReferrers, readReferrers, referrersTag } from '../referrers.ts'
import type { RandomBytes } from './bytes.ts'
import { type Base, readBase } from './delta.ts'
import { type OpenArchiveOptions, openTar } from './open.ts'
import { blockBytes, entryName, invalidArchive, padded, readPax, readTarHeader, recordSize } from './tar.ts'

interface Place {
  readonly offset: number
  readonly size: number
}

const maximumEntries = 500_000
const blobName = /^blobs\/sha256\/([0-9a-f]{64})$/

/**
 * An OCI image layout in a tar, read where it lies: as a file, split into parts, or compressed with zstd. Nothing is unpacked, unless
 * another program compressed it. Content is verified like that of any source; names that lead out, links and devices are refused.
 */
export class Archive implements ContentSource, ContentTarget {
  readonly file: string
  /** What it does not hold since it only carries what changed, or undefined when it holds everything. */
  readonly base: Base | undefined
  readonly #bytes: RandomBytes
  readonly #blobs: ReadonlyMap<string, Place>
  readonly #entries: readonly Descriptor[]

  private constructor(file: string, bytes: RandomBytes, blobs: ReadonlyMap<string, Place>, entries: readonly Descriptor[], base?: Base) {
    this.file = file
    this.#bytes = bytes
    this.#blobs = blobs
    this.#entries = entries
    this.base = base
  }

  /**
   * Opens an archive and reads what it lists. Close it.
   * @throws OciError `NotFound`, `InvalidArchive`, `DigestMismatch` for a damaged part, `TooLarge`, `Unsupported`, `Storage`
   */
  static async open(file: string, options: OpenArchiveOptions = {}): Promise<Archive> {
    const bytes = await openTar(file, options)
    try {
      const { blobs, files } = await scan(bytes, file, options.signal)
      const small = async (name: string, limit: number): Promise<Uint8Array | undefined> => {
        const place = files.get(name)
        if (place === undefined) return undefined
        if (place.size > limit)
          throw new OciError('TooLarge', `${name} in ${file} has ${place.size} bytes; at most ${limit} are read here.`)
        return bytes.read(place.offset, place.size)
      }
      const marker = await small('oci-layout', 64 * 1024)
      if (marker === undefined || layoutVersionOf(marker) !== layoutVersion)
        throw invalidArchive(file, `it holds no OCI image layout of version ${layoutVersion}`)
      const index = await small('index.json', maximumIndexBytes)
      if (index === undefined) throw invalidArchive(file, 'its OCI image layout has no index.json')
      const { entries } = readIndexFile(index, `index.json in ${file}`)
      return new Archive(file, bytes, blobs, entries, await readBase(small, file))
    } catch (error) {
      await bytes.close()
      throw error
    }
  }

  /** The names in it, in their order. */
  tags(): Promise<string[]> {
    return Promise.resolve(tagNames(this.#entries))
  }

  /** The digests of everything in it. */
  digests(): IterableIterator<string> {
    return this.#blobs.keys()
  }

  async resolve(tagOrDigest: string, _options: CallOptions = {}): Promise<Descriptor | undefined> {
    if (!isDigest(tagOrDigest)) {
      const entry = named(this.#entries, tagOrDigest)
      return entry && { mediaType: entry.mediaType, digest: entry.digest, size: entry.size }
    }
    return this.#blobs.has(tagOrDigest) ? (await this.manifest(tagOrDigest)).descriptor : undefined
  }

  async manifest(digest: string, _options: CallOptions = {}): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const { offset, size } = this.#place(digest)
    if (size > maximumManifestBytes)
      throw new OciError(
        'TooLarge',
        `${digest} in ${this.file} has ${size} bytes, which is over the limit of ${maximumManifestBytes} for a manifest.`,
      )
    const bytes = await this.#bytes.read(offset, size)
    verifyBytes(bytes, { digest, size }, this.file)
    return { descriptor: { mediaType: parseManifest(bytes).mediaType, digest, size }, bytes }
  }

  blob(descriptor: Descriptor, options: CallOptions = {}): AsyncGenerator<Uint8Array> {
    return verifyStream(this.blobRest(descriptor, 0, options), descriptor, this.file)
  }

  async *blobRest({ digest }: Descriptor, from: number, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    const { offset, size } = this.#place(digest)
    yield* this.#bytes.stretch(offset + from, size - from, signal)
  }

  async referrers(digest: string, options: CallOptions & { artifactType?: string | undefined } = {}): Promise<Descriptor[]> {
    const list = named(this.#entries, referrersTag(digest))
    if (list === undefined) return []
    return filterReferrers(readReferrers((await this.manifest(list.digest)).bytes), options.artifactType)
  }

  hasManifest(digest: string, _options: CallOptions = {}): Promise<boolean> {
    return Promise.resolve(this.#blobs.has(digest))
  }

  hasBlob(descriptor: Descriptor, _options: CallOptions = {}): Promise<boolean> {
    return Promise.resolve(this.#blobs.get(descriptor.digest)?.size === descriptor.size)
  }

  putManifest(): Promise<Descriptor> {
    return Promise.reject(this.#readOnly())
  }

  putBlob(): Promise<void> {
    return Promise.reject(this.#readOnly())
  }

  close(): Promise<void> {
    return this.#bytes.close()
  }

  #place(digest: string): Place {
    const place = this.#blobs.get(digest)
    if (place !== undefined) return place
    const why = this.base === undefined ? 'Write the archive anew.' : `It only carries what changed since ${this.base.roots.join(', ')}.`
    throw new OciError('NotFound', `${digest} is not in the archive ${this.file}. ${why}`)
  }

  #readOnly(): OciError {
    return new OciError(
      'Unsupported',
      `${this.file} is an archive, which is written as a whole. Put this into a registry or a layout (oci:DIR), then relocate it to an archive.`,
    )
  }
}

/** Where everything is. Only headers are read: an archive of many GB opens at once. */
async function scan(
  bytes: RandomBytes,
  file: string,
  signal: AbortSignal | undefined,
): Promise<{ blobs: Map<string, Place>; files: Map<string, Place> }> {
  const blobs = new Map<string, Place>()
  const files = new Map<string, Place>()
  let next: { name?: string; size?: number } = {}
  let offset = 0
  for (let count = 0; ; count += 1) {
    signal?.throwIfAborted()
    if (count > maximumEntries) throw new OciError('TooLarge', `${file} holds more than ${maximumEntries} entries.`)
    if (offset + blockBytes > bytes.size) throw invalidArchive(file, 'it is truncated: the end of the tar is missing')
    const header = readTarHeader(await bytes.read(offset, blockBytes), file)
    if (header === undefined) return { blobs, files }
    const place = { offset: offset + blockBytes, size: next.size ?? header.size }
    offset = place.offset + padded(place.size)
    if (place.offset + place.size > bytes.size)
      throw invalidArchive(file, `it is truncated: it ends at byte ${bytes.size}, and an entry of it at ${place.offset + place.size}`)
    if (header.kind === 'pax') {
      const { path, size } = readPax(await bytes.read(place.offset, recordSize(place.size, file)), file)
      next = { ...(path === undefined ? {} : { name: path }), ...(size === undefined ? {} : { size }) }
      continue
    }
    if (header.kind === 'long-name') {
      const text = new TextDecoder().decode(await bytes.read(place.offset, recordSize(place.size, file)))
      next = { ...next, name: text.replace(/\0+$/, '') }
      continue
    }
    const name = entryName(next.name ?? header.name, file)
    next = {}
    if (header.kind !== 'file') continue
    const hex = blobName.exec(name)?.[1]
    const [kept, key] = hex === undefined ? [files, name] : [blobs, `sha256:${hex}`]
    if (kept.has(key)) throw invalidArchive(file, `it holds ${name} twice`)
    // What else lies in it is nobody's business, and takes no memory.
    if (hex !== undefined || !name.includes('/')) kept.set(key, place)
  }
}
