import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { digestHex, digestOf } from '../digest.ts'
import { noise } from '../testing/content.ts'
import { temporaryDirectory } from '../testing/registry.ts'
import { Store } from './store.ts'

const bytes = noise(100)
const digest = digestOf(bytes)
const hex = digestHex(digest)
/** Older than this is everything. */
const always = Number.POSITIVE_INFINITY

/** A store with content that no repository holds. */
async function storeWithGarbage(): Promise<Store> {
  const root = await temporaryDirectory()
  const store = await Store.open(root, Date.now)
  await writeFile(join(root, 'tmp', 'blob'), bytes)
  await store.adoptBlob('a', join(root, 'tmp', 'blob'), digest)
  await store.unlinkBlob('a', digest)
  return store
}

describe('content that no repository holds', () => {
  it('is removed in a collection, and only in one', async () => {
    const store = await storeWithGarbage()
    expect(await store.removeContent(hex, always)).toBeUndefined()
    expect(await store.collecting(() => store.removeContent(hex, always))).toBe(100)
    expect(await store.mountBlob('b', digest, null)).toBe(false)
  })

  it('stays when a repository takes it after the collection looked at that repository, however old it is', async () => {
    const store = await storeWithGarbage()
    await store.collecting(async () => {
      expect(await store.heldBlobs('b')).toEqual([])
      expect(await store.mountBlob('b', digest, null)).toBe(true)
      expect(await store.removeContent(hex, always)).toBeUndefined()
    })
    expect(await store.blobSize('b', digest)).toBe(100)
  })

  it('stays when a repository is just taking it as the collection begins', async () => {
    const store = await storeWithGarbage()
    const mounting = store.mountBlob('b', digest, null)
    await Promise.resolve()
    expect(await store.collecting(() => store.removeContent(hex, always))).toBeUndefined()
    expect(await mounting).toBe(true)
    expect(await store.blobSize('b', digest)).toBe(100)
  })

  it('is either mounted or removed when both come at once, never linked and gone', async () => {
    for (let round = 0; round < 20; round += 1) {
      const store = await storeWithGarbage()
      const { removed, mounted } = await store.collecting(async () => {
        const mounting = round % 2 === 0 ? undefined : store.mountBlob('b', digest, null)
        const removing = store.removeContent(hex, always)
        return { mounted: await (mounting ?? store.mountBlob('b', digest, null)), removed: await removing }
      })
      expect(mounted).toBe(removed === undefined)
    }
  })
})
