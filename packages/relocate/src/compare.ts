import type { ContentTarget } from '@muster/oci'
import { RelocateError } from './errors.ts'
import { blobsOf, type Inventory, type Item } from './inventory.ts'
import { type Counts, count } from './kinds.ts'
import { eachOf } from './pool.ts'

const named = 5

/**
 * Counts what of an inventory is at the target: each manifest, in its place, and each blob.
 * @param known blobs that the target need not have itself, as an archive that only carries changes
 * @throws RelocateError `Incomplete`, which names what is missing
 */
export async function demandSame(
  before: Inventory,
  after: Inventory,
  target: Pick<ContentTarget, 'hasBlob'>,
  options: {
    readonly jobs: number
    readonly signal?: AbortSignal | undefined
    readonly known?: ReadonlySet<string> | undefined
    readonly name: string
  },
): Promise<Counts> {
  const there = new Set(after.items.map(placeOf))
  const missing = before.items.filter((item) => !there.has(placeOf(item))).map(described)
  await eachOf(blobsOf(before.items).values(), options, async ({ descriptor }, signal) => {
    if (options.known?.has(descriptor.digest) === true) return
    if (!(await target.hasBlob(descriptor, { signal }))) missing.push(`blob ${descriptor.digest}`)
  })
  if (missing.length > 0) {
    const more = missing.length > named ? ` and ${missing.length - named} more` : ''
    throw new RelocateError(
      'Incomplete',
      `${options.name} lacks ${missing.slice(0, named).join(', ')}${more} after everything was written. Run the same command again; if it stays so, the registry drops what it accepts.`,
    )
  }
  return count(before.items.filter((item) => there.has(placeOf(item))))
}

function placeOf({ descriptor, subject = '', tag = '' }: Item): string {
  return `${descriptor.digest} ${subject} ${tag}`
}

function described({ descriptor, kind, subject }: Item): string {
  return `${kind} ${descriptor.digest}${subject === undefined ? '' : ` of ${subject}`}`
}
