import {
  type ArchiveEntry,
  type Base,
  baseFile,
  type ContentSource,
  type Descriptor,
  digestHex,
  digestOf,
  mediaTypes,
  referrerDescriptor,
  referrersTag,
  refName,
  type WriteArchiveOptions,
  type WrittenArchive,
  writeArchive,
  writeBase,
  writeReferrers,
} from '@muster/oci'
import { collector } from './collect.ts'
import { blobsOf, type Inventory, type Item } from './inventory.ts'

/** What is compressed of a chunk is made anew each time, and is in memory beside it. */
const everyBytes = 4 * 1024 * 1024

export interface PackOptions extends WriteArchiveOptions {
  /** What is left out, and why. */
  readonly base?: { readonly roots: readonly string[]; readonly digests: ReadonlySet<string> } | undefined
}

/**
 * Writes artifacts, each with its name, and what hangs on them as one archive: an OCI image layout that other programs read, too.
 * Manifests are always in it, so that what it holds can be listed and verified without its base.
 * @throws OciError of the sources, and `Storage`
 */
export async function pack(
  file: string,
  inventories: readonly { readonly inventory: Inventory; readonly tag: string }[],
  options: PackOptions = {},
): Promise<WrittenArchive & { omitted: number; content: { blobs: number; bytes: number } }> {
  const items = [
    ...new Map(
      inventories.flatMap(({ inventory }) => inventory.items).map((item) => [`${item.descriptor.digest} ${item.tag ?? ''}`, item]),
    ).values(),
  ]
  const blobs = [...blobsOf(items).values()]
  const { base } = options
  const carried = blobs.filter(({ descriptor }) => base?.digests.has(descriptor.digest) !== true)
  const omitted = blobs.filter(({ descriptor }) => base?.digests.has(descriptor.digest) === true).map(({ descriptor }) => descriptor)
  const lists = referrersLists(items)
  const index = [
    ...inventories.map(({ inventory, tag }) => entryOf(inventory.root, tag)),
    ...items.flatMap(({ descriptor, tag }) => (tag === undefined ? [] : [entryOf(descriptor, tag)])),
    ...lists.map(({ descriptor, tag }) => entryOf(descriptor, tag)),
  ]
  const written: Base | undefined = base === undefined ? undefined : { roots: base.roots, omitted }
  const entries: ArchiveEntry[] = [
    inMemory('oci-layout', encode({ imageLayoutVersion: '1.0.0' })),
    inMemory('index.json', encode({ schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests: index })),
    ...(written === undefined ? [] : [inMemory(baseFile, writeBase(written))]),
    ...lists.map(({ descriptor, bytes }) => inMemory(blobPath(descriptor), bytes)),
    ...items.map((item) => manifestEntry(item)),
    ...carried.map(({ descriptor, source }) => blobEntry(descriptor, source)),
  ]
  // By name: what one artifact has as a manifest, another may have as a blob.
  const distinct = [...new Map(entries.map((entry) => [entry.name, entry])).values()]
  const result = await writeArchive(file, distinct, { ...options, onLooked: passed })
  return {
    ...result,
    omitted: omitted.length,
    content: { blobs: carried.length, bytes: carried.reduce((sum, { descriptor }) => sum + descriptor.size, 0) },
  }
}

/** The lists by which a layout tells what refers to what (distribution-spec, "Referrers Tag Schema"). */
function referrersLists(items: readonly Item[]): { tag: string; descriptor: Descriptor; bytes: Uint8Array }[] {
  const bySubject = new Map<string, Descriptor[]>()
  for (const { subject, tag, descriptor, manifest } of items) {
    if (subject === undefined || tag !== undefined) continue
    const full = { kind: 'image' as const, mediaType: descriptor.mediaType, blobs: [], manifests: [], layers: [], ...manifest }
    bySubject.set(subject, [...(bySubject.get(subject) ?? []), referrerDescriptor(descriptor, full)])
  }
  return [...bySubject].map(([subject, referrers]) => {
    const bytes = writeReferrers(referrers.sort((one, other) => (one.digest < other.digest ? -1 : 1)))
    return {
      tag: referrersTag(subject),
      bytes,
      descriptor: { mediaType: mediaTypes.imageIndex, digest: digestOf(bytes), size: bytes.length },
    }
  })
}

function entryOf({ mediaType, digest, size }: Descriptor, tag: string): Descriptor {
  return { mediaType, digest, size, annotations: { [refName]: tag } }
}

function manifestEntry({ descriptor, source }: Item): ArchiveEntry {
  return {
    name: blobPath(descriptor),
    size: descriptor.size,
    digest: descriptor.digest,
    open: async function* ({ signal, from }) {
      yield (await source.manifest(descriptor.digest, { signal })).bytes.subarray(from)
    },
  }
}

function blobEntry(descriptor: Descriptor, source: ContentSource): ArchiveEntry {
  return {
    name: blobPath(descriptor),
    size: descriptor.size,
    digest: descriptor.digest,
    open: ({ signal, from = 0 }) => {
      const options = { signal, reuse: true }
      if (from === 0) return passing(source.blob(descriptor, options))
      return passing(source.blobRest?.(descriptor, from, options) ?? behind(from, source.blob(descriptor, options)))
    },
  }
}

/** Of a source that can only be read from the beginning. */
async function* behind(from: number, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let at = 0
  for await (const chunk of content) {
    if (at + chunk.length > from) yield chunk.subarray(Math.max(0, from - at))
    at += chunk.length
  }
}

const passed = collector(everyBytes)

async function* passing(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    passed(chunk.length)
    yield chunk
  }
}

function inMemory(name: string, bytes: Uint8Array): ArchiveEntry {
  return {
    name,
    size: bytes.length,
    digest: digestOf(bytes),
    open: async function* ({ from }) {
      if (bytes.length > 0) yield bytes.subarray(from)
    },
  }
}

function blobPath({ digest }: Descriptor): string {
  return `blobs/sha256/${digestHex(digest)}`
}

function encode(json: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(json))
}
