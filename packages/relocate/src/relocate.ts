import { Archive, type ContentSource, type Descriptor, parseReference } from '@muster/oci'
import { carry, type Moved, type Store, setTag } from './carry.ts'
import { demandSame } from './compare.ts'
import { RelocateError } from './errors.ts'
import { blobsOf, type Inventory, partOf, takeInventory } from './inventory.ts'
import type { Counts } from './kinds.ts'
import { pack } from './pack.ts'
import { eachOf } from './pool.ts'
import type { Since } from './since.ts'

/** What is to be relocated. */
export interface SourceArtifact {
  /** For messages. */
  readonly name: string
  readonly store: ContentSource
  readonly descriptor: Descriptor
  /** Where else the source registry keeps an image of this name, with signatures that may be only there. */
  readonly mirrorOf?: ((imageName: string) => ContentSource | undefined) | undefined
  /** Looks at signatures, at the source before anything is written and at the target before the tag is set. Throws when it refuses. */
  readonly verify?: ((store: ContentSource, descriptor: Descriptor) => Promise<void>) | undefined
}

/** A registry's repository, or a layout. */
export interface TargetStore {
  readonly name: string
  readonly store: Store
  readonly tag?: string | undefined
  /** Where nodes look for an image of this name; without it, a bundle's images are only in the bundle's repository. */
  readonly mirrorOf?: ((imageName: string) => Store & { readonly name: string }) | undefined
}

export interface RelocateOptions {
  /** How much is asked and sent at once. */
  readonly jobs: number
  readonly since?: Since | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((step: string) => void) | undefined
  readonly onMoved?: ((moved: Readonly<Moved>) => void) | undefined
}

export interface Relocated {
  readonly source: string
  readonly target: string
  readonly digest: string
  readonly before: Counts
  /** What of that was found at the target afterwards. */
  readonly after: Counts
  readonly moved: Moved
  /** Repositories in which nodes find the images of the bundle. */
  readonly mirrors: readonly string[]
}

/**
 * Brings an artifact with all that hangs on it to a registry or a layout: counted and verified before; blobs before manifests, children
 * before parents; counted and verified again; its tag last. Run again after a kill, it goes on where it was.
 * @throws RelocateError, OciError, and what `verify` throws
 */
export async function relocate(source: SourceArtifact, target: TargetStore, options: RelocateOptions): Promise<Relocated> {
  const { since, signal, onProgress } = options
  const before = await inspect(source, options)
  await demandBase(source, before, target, options)
  const moved: Moved = { manifests: 0, blobs: 0, bytes: 0, mounted: 0, present: 0 }
  const carrying = { ...options, known: since?.digests, moved }
  onProgress?.(`copy ${source.name} to ${target.name}`)
  await carry(before, target.store, carrying)
  const mirrors = await mirrorImages(before, target, { ...carrying, known: undefined })
  onProgress?.(`verify ${target.name}`)
  const there = await takeInventory(target.store, before.root, options)
  const after = await demandSame(before, there, target.store, { ...options, name: target.name })
  await source.verify?.(target.store, before.root)
  if (target.tag !== undefined && (await setTag(source.store, target.store, before.root, target.tag, signal))) moved.manifests += 1
  return { source: source.name, target: target.name, digest: before.root.digest, before: before.counts, after, moved, mirrors }
}

export interface PackedTarget {
  readonly file: string
  readonly compress?: boolean | undefined
  /** In bytes. */
  readonly partBytes?: number | undefined
  /** Where archives of others are unpacked, when one is a source. */
  readonly temporary?: string | undefined
}

export interface Packed {
  readonly artifacts: readonly Omit<Relocated, 'moved' | 'mirrors'>[]
  readonly files: readonly string[]
  /** On disk. */
  readonly bytes: number
  /** What of the sources is in it: blobs, and their bytes. */
  readonly content: { readonly blobs: number; readonly bytes: number }
  /** Blobs that are left out, since what the archive follows has them. */
  readonly omitted: number
  /** Bytes of it that an earlier run had written. */
  readonly resumed: number
}

/**
 * Writes artifacts, each by its name, into one archive.
 * @throws RelocateError, OciError, and what `verify` throws
 */
export async function relocateToArchive(
  sources: readonly (SourceArtifact & { readonly tag: string })[],
  target: PackedTarget,
  options: RelocateOptions & { readonly onWritten?: ((done: number, all: number) => void) | undefined },
): Promise<Packed> {
  const { signal, since, onProgress } = options
  const inventories: { inventory: Inventory; tag: string; source: SourceArtifact }[] = []
  for (const source of sources) inventories.push({ inventory: await inspect(source, options), tag: source.tag, source })
  for (const { inventory, source } of inventories) demandWhole(source, inventory, since)
  onProgress?.(`write ${target.file}`)
  const base = since === undefined ? undefined : { roots: since.roots, digests: since.digests }
  const { compress, partBytes, temporary, file } = target
  const written = await pack(file, inventories, { base, compress, partBytes, signal, onProgress: options.onWritten })
  onProgress?.(`verify ${file}`)
  const archive = await Archive.open(file, { signal, ...(temporary === undefined ? {} : { temporary }) })
  try {
    const artifacts: Omit<Relocated, 'moved' | 'mirrors'>[] = []
    for (const { inventory, source, tag } of inventories) {
      const there = await takeInventory(archive, inventory.root, options)
      const name = `${file}:${tag}`
      const after = await demandSame(inventory, there, archive, { ...options, known: since?.digests, name })
      // Content that parts of an earlier run begin was not seen whole by either.
      if (partBytes !== undefined && written.resumed > 0) await readThrough(archive, inventory, since, signal)
      if (since === undefined) await source.verify?.(archive, inventory.root)
      artifacts.push({ source: source.name, target: name, digest: inventory.root.digest, before: inventory.counts, after })
    }
    return { ...written, artifacts }
  } finally {
    await archive.close()
  }
}

async function inspect(source: SourceArtifact, options: RelocateOptions): Promise<Inventory> {
  options.onProgress?.(`look through ${source.name}`)
  const inventory = await takeInventory(source.store, source.descriptor, { ...options, mirrorOf: source.mirrorOf })
  await source.verify?.(source.store, source.descriptor)
  return inventory
}

/** Brings each image of a bundle to where nodes look for its name, from the repository next to it: no blob is sent again. */
async function mirrorImages(inventory: Inventory, target: TargetStore, options: Parameters<typeof carry>[2]): Promise<string[]> {
  const { mirrorOf } = target
  const images = mirrorOf === undefined ? [] : inventory.items.flatMap((item) => item.images)
  const mirrors = new Set<string>()
  for (const { name, digest } of images) {
    const mirror = mirrorOf?.(name)
    if (mirror === undefined) continue
    const part = partOf(inventory, digest)
    const here: Inventory = { ...part, items: part.items.map((item) => ({ ...item, source: target.store })) }
    await carry(here, mirror, options)
    await demandSame(here, await takeInventory(mirror, part.root, options), mirror, { ...options, name: mirror.name })
    // A name without a tag means `latest` to engines.
    await setTag(target.store, mirror, part.root, parseReference(name).tag ?? 'latest', options.signal)
    mirrors.add(mirror.name)
  }
  return [...mirrors]
}

/** Before anything is written: what is left out must be there. */
async function demandBase(source: SourceArtifact, inventory: Inventory, target: TargetStore, options: RelocateOptions): Promise<void> {
  const { since, signal } = options
  if (since !== undefined) {
    const there = await Promise.all(since.roots.map((root) => target.store.hasManifest(root, { signal })))
    if (!there.includes(true)) {
      throw new RelocateError(
        'BaseMissing',
        `${target.name} does not have ${since.roots.join(' or ')}, after which only changes were to be carried. Relocate without --since.`,
      )
    }
  }
  const leftOut = leftOutOf(source, inventory)
  await eachOf(leftOut, options, async (descriptor, stop) => {
    if (await target.store.hasBlob(descriptor, { signal: stop })) return
    throw new RelocateError(
      'BaseMissing',
      `${source.name} only carries what changed since ${rootsOf(source)}, and ${target.name} lacks ${descriptor.digest} of it. Bring that there first; nothing was written.`,
    )
  })
}

/** An archive can leave out only what it says that it leaves out. */
function demandWhole(source: SourceArtifact, inventory: Inventory, since: Since | undefined): void {
  const missing = leftOutOf(source, inventory).find(({ digest }) => since?.digests.has(digest) !== true)
  if (missing === undefined) return
  throw new RelocateError(
    'BaseMissing',
    `${source.name} only carries what changed since ${rootsOf(source)}, and lacks ${missing.digest}. Bring it to where that is, and relocate from there.`,
  )
}

function leftOutOf({ store }: SourceArtifact, inventory: Inventory): Descriptor[] {
  if (!(store instanceof Archive) || store.base === undefined) return []
  const omitted = new Set(store.base.omitted.map(({ digest }) => digest))
  return [...blobsOf(inventory.items).values()].map(({ descriptor }) => descriptor).filter(({ digest }) => omitted.has(digest))
}

function rootsOf({ store }: SourceArtifact): string {
  return store instanceof Archive ? (store.base?.roots.join(', ') ?? '') : ''
}

async function readThrough(
  archive: Archive,
  inventory: Inventory,
  since: Since | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { descriptor } of blobsOf(inventory.items).values()) {
    if (since?.digests.has(descriptor.digest) === true) continue
    // Verified at the end of each.
    for await (const _ of archive.blob(descriptor, { signal })) signal?.throwIfAborted()
  }
}
