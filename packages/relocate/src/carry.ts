import { Archive, type ContentSource, type ContentTarget, type Descriptor } from '@muster/oci'
import { collector } from './collect.ts'
import { RelocateError } from './errors.ts'
import { blobsOf, type Inventory, type Item } from './inventory.ts'
import { eachOf } from './pool.ts'

/** What went over. `bytes` are those of manifests and blobs that were sent; `present` counts what was there already. */
export interface Moved {
  manifests: number
  blobs: number
  bytes: number
  /** Blobs taken over inside the registry. */
  mounted: number
  present: number
}

export interface CarryOptions {
  readonly jobs: number
  readonly signal?: AbortSignal | undefined
  /** Blobs that are known to be at the target, and not asked for. */
  readonly known?: ReadonlySet<string> | undefined
  readonly moved: Moved
  readonly onMoved?: ((moved: Readonly<Moved>) => void) | undefined
}

export type Store = ContentSource & ContentTarget

/**
 * Brings everything of an inventory to a registry's repository or a layout: blobs, then manifests in their order, with what lists them as
 * referrers and cosign's tags. What is there stays, so a run that was ended is gone on from. The artifact's own tag is not set here.
 * @throws OciError of either side; RelocateError `BaseMissing`
 */
export async function carry(inventory: Inventory, target: Store, options: CarryOptions): Promise<void> {
  const { moved, onMoved } = options
  const blobs = [...blobsOf(inventory.items).values()].filter(({ descriptor }) => options.known?.has(descriptor.digest) !== true)
  // The largest first: else one is left alone at the end.
  blobs.sort((one, other) => other.descriptor.size - one.descriptor.size)
  await eachOf(blobs, options, async ({ descriptor, source }, signal) => {
    if (await target.hasBlob(descriptor, { signal })) moved.present += 1
    else if (await target.adopt?.(descriptor, source, { signal })) moved.mounted += 1
    else {
      await demandThere(descriptor, source, signal)
      await target.putBlob(descriptor, () => counted(source.blob(descriptor, { signal, reuse: true }), options), { signal, verified: true })
      moved.blobs += 1
    }
    onMoved?.(moved)
  })
  const missing = await missingOf(inventory.items, target, options)
  // One after another: lists of referrers are read and written, and a parent needs its children.
  for (const item of missing) {
    options.signal?.throwIfAborted()
    const { bytes } = await item.source.manifest(item.descriptor.digest, { signal: options.signal })
    await target.putManifest(bytes, item.descriptor.mediaType, { tag: item.tag, signal: options.signal })
    moved.manifests += 1
    moved.bytes += bytes.length
    onMoved?.(moved)
  }
  moved.present += inventory.items.length - missing.length
}

/** Manifests that are not there, referrers that are there and not listed (a run ended in between), tags that say something else. */
async function missingOf(items: readonly Item[], target: Store, options: CarryOptions): Promise<Item[]> {
  const missing = new Set<Item>()
  const subjects = new Map<string, Item[]>()
  for (const item of items) {
    if (item.subject !== undefined && item.tag === undefined) subjects.set(item.subject, [...(subjects.get(item.subject) ?? []), item])
  }
  await eachOf(items, options, async (item, signal) => {
    const { digest } = item.descriptor
    const there =
      item.tag === undefined
        ? await target.hasManifest(digest, { signal })
        : (await target.resolve(item.tag, { signal }))?.digest === digest
    if (!there) missing.add(item)
  })
  await eachOf(subjects, options, async ([subject, referrers], signal) => {
    const listed = new Set((await target.referrers(subject, { signal })).map(({ digest }) => digest))
    for (const item of referrers) if (!listed.has(item.descriptor.digest)) missing.add(item)
  })
  return items.filter((item) => missing.has(item))
}

/** What only carries changes says by name what it needs. */
async function demandThere(descriptor: Descriptor, source: ContentSource, signal: AbortSignal): Promise<void> {
  if (!(source instanceof Archive) || source.base === undefined || (await source.hasBlob(descriptor))) return
  signal.throwIfAborted()
  throw new RelocateError(
    'BaseMissing',
    `The archive leaves out ${descriptor.digest}, which the target does not have. Bring there first what the archive follows, or relocate without --since.`,
  )
}

const passed = collector()

async function* counted(content: AsyncIterable<Uint8Array>, { moved, onMoved }: CarryOptions): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    moved.bytes += chunk.length
    passed(chunk.length)
    onMoved?.(moved)
    yield chunk
  }
}

/** Points a tag to an artifact that is there. False: it did already. */
export async function setTag(source: ContentSource, target: Store, root: Descriptor, tag: string, signal?: AbortSignal): Promise<boolean> {
  if ((await target.resolve(tag, { signal }))?.digest === root.digest) return false
  const { bytes } = await source.manifest(root.digest, { signal })
  await target.putManifest(bytes, root.mediaType, { tag, signal })
  return true
}
