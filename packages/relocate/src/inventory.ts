import { type ContentSource, type Descriptor, isManifestType, type Manifest, OciError, parseManifest, referrersTag } from '@muster/oci'
import { RelocateError } from './errors.ts'
import { type CosignSuffix, type Counts, cosignKinds, cosignSuffixes, count, type Kind, kindInTree, kindOfReferrer } from './kinds.ts'
import { eachOf } from './pool.ts'

/** A manifest of an artifact, or of what hangs on it. */
export interface Item {
  readonly descriptor: Descriptor
  /** Where it was found. */
  readonly source: ContentSource
  readonly kind: Kind
  readonly weight: number
  readonly children: readonly string[]
  readonly blobs: readonly Descriptor[]
  /** The digest that it refers to. */
  readonly subject?: string
  /** As a referrer, how its subject lists it. */
  readonly manifest: Pick<Manifest, 'artifactType' | 'annotations' | 'config'>
  /** The tag of cosign's older format, such as `sha256-….sig`. */
  readonly tag?: string
  /** What a bundle calls the images in it. */
  readonly images: readonly { readonly name: string; readonly digest: string }[]
}

/** All of an artifact and what hangs on it, in the order of writing: children before parents, subjects before referrers. */
export interface Inventory {
  readonly root: Descriptor
  readonly items: readonly Item[]
  readonly counts: Counts
}

export interface InventoryOptions {
  /** Where a referrer of an image may be, too: the place where nodes of the source registry look for this image. */
  readonly mirrorOf?: ((imageName: string) => ContentSource | undefined) | undefined
  readonly jobs: number
  readonly signal?: AbortSignal | undefined
}

const imageNameAnnotation = 'dev.muster.image.name'
const maximumLevels = 16
const maximumManifests = 20_000
const maximumBlobs = 500_000

interface Wanted {
  readonly descriptor: Descriptor
  /** Where to look for it and what hangs on it; the first that has it. */
  readonly places: readonly ContentSource[]
  readonly parent?: Kind | undefined
  readonly subject?: string
  readonly suffix?: CosignSuffix
}

/** A manifest with what was found to hang on it, by {@link keyOf}. */
interface Found extends Item {
  readonly hanging: readonly string[]
}

/** The same manifest may hang on several digests by cosign's tags: each tag counts. */
function keyOf({ descriptor, subject, suffix }: Pick<Wanted, 'descriptor' | 'subject' | 'suffix'>): string {
  return subject === undefined || suffix === undefined ? descriptor.digest : `${referrersTag(subject)}.${suffix}`
}

/**
 * Reads an artifact and everything that hangs on it: nested indexes, referrers (by the API and by the fallback tag), and what cosign
 * tagged, of every one of them. Manifests are verified and bounded; blobs are not read.
 * @throws RelocateError `TooLarge`, `WrongSubject`; OciError of the source
 */
export async function takeInventory(source: ContentSource, root: Descriptor, options: InventoryOptions): Promise<Inventory> {
  const found = new Map<string, Found>()
  const seen = new Set<string>([root.digest])
  let blobs = 0
  let level: Wanted[] = [{ descriptor: root, places: [source] }]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maximumLevels) throw tooLarge(root, `${maximumLevels} levels`)
    const next: Wanted[] = []
    await eachOf(level, options, async (wanted, signal) => {
      const { item, more } = await look(wanted, options, signal)
      found.set(keyOf(wanted), item)
      blobs += item.blobs.length
      for (const one of more) {
        if (seen.has(keyOf(one))) continue
        seen.add(keyOf(one))
        next.push(one)
      }
      if (seen.size > maximumManifests) throw tooLarge(root, `${maximumManifests} manifests`)
      if (blobs > maximumBlobs) throw tooLarge(root, `${maximumBlobs} blobs`)
    })
    level = next
  }
  const items = inOrder(found, root.digest)
  return { root, items, counts: count(items) }
}

/** What of an inventory belongs to one of its manifests: the manifest, what it holds, and what hangs on all that. */
export function partOf(inventory: Inventory, digest: string): Inventory {
  const byDigest = new Map(inventory.items.map((item) => [item.descriptor.digest, item]))
  const hanging = new Map<string, string[]>()
  for (const { subject, descriptor } of inventory.items) {
    if (subject !== undefined) hanging.set(subject, [...(hanging.get(subject) ?? []), descriptor.digest])
  }
  const wanted = new Set<string>([digest])
  // A set visits what is added while it is gone through.
  for (const one of wanted) for (const more of [...(byDigest.get(one)?.children ?? []), ...(hanging.get(one) ?? [])]) wanted.add(more)
  const items = inventory.items.filter((item) => wanted.has(item.descriptor.digest))
  const root = byDigest.get(digest)?.descriptor
  if (root === undefined) throw new RangeError(`${digest} is not in this inventory`)
  return { root, items, counts: count(items) }
}

/** The blobs of all of them, each once, with where it is. */
export function blobsOf(items: readonly Item[]): Map<string, { descriptor: Descriptor; source: ContentSource }> {
  const blobs = new Map<string, { descriptor: Descriptor; source: ContentSource }>()
  for (const { source, blobs: own } of items) for (const descriptor of own) blobs.set(descriptor.digest, { descriptor, source })
  return blobs
}

async function look(wanted: Wanted, options: InventoryOptions, signal: AbortSignal): Promise<{ item: Found; more: Wanted[] }> {
  const { descriptor, subject, suffix, parent } = wanted
  const { manifest, source } = await readFirst(wanted, signal)
  if (subject !== undefined && suffix === undefined && manifest.subject?.digest !== subject) {
    throw new RelocateError(
      'WrongSubject',
      `${descriptor.digest} is listed as a referrer of ${subject}, and does not refer to it: the list is wrong. Nothing was relocated.`,
    )
  }
  const kind =
    suffix !== undefined ? cosignKinds[suffix] : subject !== undefined ? kindOfReferrer(manifest) : kindInTree(descriptor, manifest, parent)
  const name = descriptor.annotations?.[imageNameAnnotation]
  const mirror = name === undefined ? undefined : options.mirrorOf?.(name)
  const places = mirror === undefined ? wanted.places : [...wanted.places, mirror]
  const children = manifest.manifests.map((child): Wanted => ({ descriptor: child, places, parent: subject === undefined ? kind : 'part' }))
  const refersTo = suffix === undefined ? manifest.subject?.digest : subject
  const hanging = suffix === undefined ? await hangingOn(descriptor.digest, places, signal) : []
  return {
    item: {
      descriptor,
      source,
      kind,
      weight: suffix === undefined ? 1 : manifest.layers.length,
      children: children.map((child) => child.descriptor.digest),
      blobs: manifest.blobs,
      manifest: {
        ...(manifest.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
        ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
        ...(manifest.config === undefined ? {} : { config: manifest.config }),
      },
      hanging: hanging.map(keyOf),
      // By its own word: a manifest of an index may refer to another, too.
      ...(refersTo === undefined ? {} : { subject: refersTo }),
      ...(subject === undefined || suffix === undefined ? {} : { tag: `${referrersTag(subject)}.${suffix}` }),
      images: manifest.manifests.flatMap(({ digest, annotations }) => {
        const called = annotations?.[imageNameAnnotation]
        return called === undefined ? [] : [{ name: called, digest }]
      }),
    },
    more: [...children, ...hanging],
  }
}

async function readFirst({ descriptor, places }: Wanted, signal: AbortSignal): Promise<{ manifest: Manifest; source: ContentSource }> {
  if (!isManifestType(descriptor.mediaType))
    throw new OciError('Unsupported', `${descriptor.digest} is ${descriptor.mediaType}, which is neither a manifest nor an index.`)
  for (const [at, source] of places.entries()) {
    try {
      const { bytes } = await source.manifest(descriptor.digest, { signal })
      if (bytes.length !== descriptor.size)
        throw new OciError(
          'SizeMismatch',
          `Manifest ${descriptor.digest} has ${bytes.length} bytes; ${descriptor.size} were promised. Push it again.`,
        )
      return { manifest: parseManifest(bytes, descriptor.mediaType), source }
    } catch (error) {
      if (!(error instanceof OciError && error.code === 'NotFound') || at === places.length - 1) throw error
    }
  }
  throw new OciError('NotFound', `${descriptor.digest} is nowhere to be found.`)
}

/** Referrers and what cosign tagged, from every place that the artifact may be in. */
async function hangingOn(digest: string, places: readonly ContentSource[], signal: AbortSignal): Promise<Wanted[]> {
  const lists = await Promise.all(
    places.map(async (place): Promise<Wanted[]> => {
      const tag = referrersTag(digest)
      const [referrers, ...tagged] = await Promise.all([
        allReferrers(place, digest, signal),
        ...cosignSuffixes.map(async (suffix) => ({ suffix, descriptor: await place.resolve(`${tag}.${suffix}`, { signal }) })),
      ])
      return [
        ...referrers.map((descriptor): Wanted => ({ descriptor: plain(descriptor), places: [place], subject: digest })),
        ...tagged.flatMap(({ suffix, descriptor }) =>
          descriptor === undefined ? [] : [{ descriptor, places: [place], subject: digest, suffix }],
        ),
      ]
    }),
  )
  const byKey = new Map(lists.flat().map((wanted) => [keyOf(wanted), wanted]))
  // In the same order each time, whatever order the registry has: an archive that was begun is gone on with only where it is the same.
  return [...byKey].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, wanted]) => wanted)
}

/** A registry with the API does not always list what was pushed, to it or before its update, by the fallback tag. */
async function allReferrers(place: ContentSource, digest: string, signal: AbortSignal): Promise<Descriptor[]> {
  const [listed, fallback] = await Promise.all([place.referrers(digest, { signal }), place.resolve(referrersTag(digest), { signal })])
  if (fallback === undefined) return listed
  const { bytes } = await place.manifest(fallback.digest, { signal })
  const index = parseManifest(bytes)
  if (index.kind !== 'index') return listed
  return [...listed, ...index.manifests.filter((one) => !listed.some(({ digest: same }) => same === one.digest))]
}

/** A listing says more of a referrer than its name: none of that is to be believed here. */
function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size }
}

function inOrder(found: ReadonlyMap<string, Found>, root: string): Item[] {
  const order: Item[] = []
  const done = new Set<string>()
  const visit = (digest: string): void => {
    const item = found.get(digest)
    if (item === undefined || done.has(digest)) return
    done.add(digest)
    item.children.forEach(visit)
    order.push(item)
    item.hanging.forEach(visit)
  }
  visit(root)
  return order
}

function tooLarge(root: Descriptor, bound: string): RelocateError {
  return new RelocateError(
    'TooLarge',
    `${root.digest} holds, with all that hangs on it, more than ${bound}. Relocate its parts one by one.`,
  )
}
