import { describe, expect, it } from 'vitest'
import { copy } from '../copy.ts'
import { type Descriptor, mediaTypes, parseManifest } from '../manifest.ts'
import { chunks, collect, describeBlob, noise, pushImage, pushIndex } from '../testing/content.ts'
import { reader, startRegistry } from '../testing/registry.ts'

describe('a busy registry', () => {
  it('gives each of 100 parallel pulls of a tag one image whole while others are pushed to it', { timeout: 60_000 }, async () => {
    const registry = await startRegistry({ garbage: { intervalMs: 5 } })
    const writing = registry.client().repository('app')
    const pushed = new Set([(await pushImage(writing, 1, { tag: 'latest', bytes: 300_000 })).digest])
    let pulling = true
    const pushing = (async () => {
      for (let seed = 2; pulling; seed += 1) pushed.add((await pushImage(writing, seed, { tag: 'latest', bytes: 300_000 })).digest)
    })()
    const reading = registry.client(reader).repository('app')
    const pulled = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const { descriptor, bytes } = await reading.manifest('latest')
        for (const blob of parseManifest(bytes).blobs) expect(await collect(reading.blob(blob))).toHaveLength(blob.size)
        return descriptor.digest
      }),
    ).finally(() => {
      pulling = false
    })
    await pushing
    expect(pulled.filter((digest) => !pushed.has(digest))).toEqual([])
    expect(pushed.size).toBeGreaterThan(1)
  })

  it('takes the same image from many at once, and other images at the same tag, with one whole image there afterwards', async () => {
    const registry = await startRegistry({ garbage: { intervalMs: 5 } })
    const repository = registry.client().repository('app')
    const pushes = Array.from({ length: 24 }, (_, at) => pushImage(repository, at % 6, { tag: 'latest', bytes: 50_000 }))
    const images = await Promise.all(pushes)
    const winner = await repository.manifest('latest')
    expect(images.map(({ digest }) => digest)).toContain(winner.descriptor.digest)
    for (const image of images) {
      for (const blob of parseManifest((await repository.manifest(image.digest)).bytes).blobs) await collect(repository.blob(blob))
    }
    expect(await repository.tags()).toEqual(['latest'])
  })

  it('mounts between repositories while the source deletes: each mount holds its blob, or says that it did not', async () => {
    const registry = await startRegistry({ garbage: { intervalMs: 0, graceMs: 0 } })
    const source = registry.client().repository('source')
    const blobs: Descriptor[] = []
    for (let seed = 1; seed <= 20; seed += 1) {
      const bytes = noise(3000, seed)
      blobs.push(describeBlob(bytes))
      await source.putBlob(describeBlob(bytes), () => chunks(bytes))
    }
    const outcomes = await Promise.all(
      blobs.map(async (blob, at) => {
        const target = registry.client().repository(`target-${at}`)
        // Held open, so that the collection beside it does not take the mount for an old one.
        const session = await registry.raw('POST', `/v2/target-${at}/blobs/uploads/`)
        const [mounted] = await Promise.all([
          target.mount(blob, 'source'),
          registry.raw('DELETE', `/v2/source/blobs/${blob.digest}`),
          registry.server.collectGarbage(),
        ])
        const held = await target.hasBlob(blob)
        if (held) expect(await collect(target.blob(blob))).toHaveLength(blob.size)
        await registry.raw('DELETE', session.headers.get('location') ?? '')
        return { mounted, held }
      }),
    )
    expect(outcomes.filter(({ mounted, held }) => mounted !== held)).toEqual([])
  })

  it('copies an index between its repositories without sending a byte of the blobs', async () => {
    const registry = await startRegistry()
    const [from, to] = [registry.client().repository('from'), registry.client().repository('to')]
    const index = await pushIndex(from, [await pushImage(from, 1), await pushImage(from, 2)], '1.0')
    expect(await copy(from, to, index, { tag: '1.0' })).toMatchObject({ manifests: 3, blobs: 0 })
    expect((await to.manifest('1.0')).descriptor).toMatchObject({ digest: index.digest, mediaType: mediaTypes.imageIndex })
  })
})
