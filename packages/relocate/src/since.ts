import { Archive, type ContentSource, OciError } from '@muster/oci'
import { blobsOf, type InventoryOptions, takeInventory } from './inventory.ts'

/** What is there already, by an earlier artifact or archive. */
export interface Since {
  /** The artifacts that make it up. */
  readonly roots: readonly string[]
  /** The blobs that they brought. */
  readonly digests: ReadonlySet<string>
}

/** What came with an earlier artifact, which the source still has. @throws OciError `NotFound`; RelocateError */
export async function sinceArtifact(source: ContentSource, digest: string, options: InventoryOptions): Promise<Since> {
  const root = await source.resolve(digest, { signal: options.signal })
  if (root === undefined)
    throw new OciError(
      'NotFound',
      `${digest}, after which only changes are to be carried, is not at the source. Give the earlier archive instead.`,
    )
  const { items } = await takeInventory(source, root, options)
  return { roots: [digest], digests: new Set(blobsOf(items).keys()) }
}

/** What came with an earlier archive, and what that one followed. @throws OciError */
export async function sinceArchive(file: string, options: { temporary?: string; signal?: AbortSignal | undefined }): Promise<Since> {
  const archive = await Archive.open(file, options)
  try {
    const roots = await Promise.all((await archive.tags()).map((tag) => archive.resolve(tag)))
    const digests = new Set(archive.digests())
    for (const { digest } of archive.base?.omitted ?? []) digests.add(digest)
    return { roots: [...new Set(roots.flatMap((root) => (root === undefined ? [] : [root.digest])))], digests }
  } finally {
    await archive.close()
  }
}
