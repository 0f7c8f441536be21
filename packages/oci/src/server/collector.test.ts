import { readdir, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { copy } from '../copy.ts'
import { digestHex } from '../digest.ts'
import { Layout } from '../layout/layout.ts'
import { type Descriptor, parseManifest } from '../manifest.ts'
import { age } from '../testing/age.ts'
import { chunks, collect, describeBlob, noise, pushImage } from '../testing/content.ts'
import { type RunningRegistry, startRegistry, temporaryDirectory } from '../testing/registry.ts'

const graceMs = 60_000
const garbage = { intervalMs: 0, graceMs }

async function contents(root: string): Promise<string[]> {
  const entries = await readdir(join(root, 'blobs', 'sha256'), { recursive: true })
  return entries.map((entry) => entry.slice(3)).filter((name) => name.length === 64)
}

async function blobsOf(registry: RunningRegistry, repository: string, image: Descriptor): Promise<Descriptor[]> {
  const { bytes } = await registry.client().repository(repository).manifest(image.digest)
  return [...parseManifest(bytes).blobs]
}

async function expectWhole(registry: RunningRegistry, repository: string, tag: string): Promise<void> {
  const from = registry.client().repository(repository)
  const image = await from.resolve(tag)
  if (image === undefined) throw new Error(`${repository}:${tag} is gone`)
  const { bytes } = await from.manifest(image.digest)
  for (const blob of parseManifest(bytes).blobs) await collect(from.blob(blob))
}

describe('garbage collection', () => {
  it('removes what a deleted image alone used, and nothing else', async () => {
    const registry = await startRegistry({ garbage })
    const repository = registry.client().repository('app')
    const gone = await pushImage(repository, 1, { tag: 'gone' })
    await pushImage(repository, 2, { tag: 'kept' })
    const untagged = await pushImage(repository, 3)
    await age(registry.root)
    expect(await registry.server.collectGarbage()).toEqual({ unlinked: 0, removed: 0, bytes: 0, damaged: [] })
    const size = (await blobsOf(registry, 'app', gone)).reduce((sum, blob) => sum + blob.size, gone.size)
    await repository.deleteManifest(gone.digest)
    expect(await registry.server.collectGarbage()).toEqual({ unlinked: 2, removed: 3, bytes: size, damaged: [] })
    expect(await contents(registry.root)).toHaveLength(6)
    await expectWhole(registry, 'app', 'kept')
    await expectWhole(registry, 'app', untagged.digest)
  })

  it('keeps what was uploaded, mounted or asked for within the grace, and content that another repository holds', async () => {
    const registry = await startRegistry({ garbage })
    const [app, other] = [registry.client().repository('app'), registry.client().repository('other')]
    const blobs = [1, 2, 3, 4].map((seed) => noise(1000, seed))
    for (const bytes of blobs) await app.putBlob(describeBlob(bytes), () => chunks(bytes))
    await age(registry.root)
    const [asked, mounted, uploaded, old] = blobs.map(describeBlob) as [Descriptor, Descriptor, Descriptor, Descriptor]
    expect(await app.hasBlob(asked)).toBe(true)
    expect(await other.mount(mounted, 'app')).toBe(true)
    await other.putBlob(uploaded, () => chunks(blobs[2] ?? new Uint8Array()))
    expect(await registry.server.collectGarbage()).toMatchObject({ unlinked: 3, removed: 1 })
    expect(await app.hasBlob(asked)).toBe(true)
    expect(await other.hasBlob(mounted)).toBe(true)
    expect(await other.hasBlob(uploaded)).toBe(true)
    expect((await contents(registry.root)).includes(digestHex(old.digest))).toBe(false)
  })

  it('keeps everything of a repository to which a blob is on its way', async () => {
    const registry = await startRegistry({ garbage })
    const repository = registry.client().repository('app')
    const bytes = noise(1000)
    await repository.putBlob(describeBlob(bytes), () => chunks(bytes))
    const session = await registry.raw('POST', '/v2/app/blobs/uploads/')
    await age(registry.root)
    expect(await registry.server.collectGarbage()).toMatchObject({ unlinked: 0, removed: 0 })
    await registry.raw('DELETE', session.headers.get('location') ?? '')
    expect(await registry.server.collectGarbage()).toMatchObject({ unlinked: 1, removed: 1 })
  })

  it('leaves a repository alone in which it cannot read what a manifest names, and says so', async () => {
    const registry = await startRegistry({ garbage })
    const repository = registry.client().repository('app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    const bytes = noise(500, 7)
    await repository.putBlob(describeBlob(bytes), () => chunks(bytes))
    const hex = digestHex(image.digest)
    await rm(join(registry.root, 'blobs', 'sha256', hex.slice(0, 2), hex))
    await age(registry.root)
    expect(await registry.server.collectGarbage()).toEqual({ unlinked: 0, removed: 0, bytes: 0, damaged: ['app'] })
  })

  it('never takes anything from under the pushes and mounts that run beside it', { timeout: 60_000 }, async () => {
    const registry = await startRegistry({ garbage })
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const images: Descriptor[] = []
    for (let seed = 1; seed <= 6; seed += 1) images.push(await pushImage(source, seed, { bytes: 20_000 }))
    let pushing = true
    let runs = 0
    const collecting = (async () => {
      while (pushing) {
        await registry.server.collectGarbage()
        runs += 1
      }
    })()
    // The same images pushed, deleted and pushed again, their content always old enough to be taken: the worst case.
    const work = images.map(async (image, at) => {
      for (let round = 0; round < 5; round += 1) {
        const [app, other] = [registry.client().repository(`app-${at % 3}`), registry.client().repository(`other-${at}`)]
        await copy(source, app, image, { tag: `t${at}` })
        await copy(app, other, image, { tag: `t${at}` })
        await expectWhole(registry, `other-${at}`, `t${at}`)
        await app.deleteManifest(image.digest)
        await other.deleteManifest(image.digest)
        const hexes = [image, ...parseManifest((await source.manifest(image.digest)).bytes).blobs].map(({ digest }) => digestHex(digest))
        const then = Date.now() / 1000 - 120
        const paths = hexes.flatMap((hex) => [
          join(registry.root, 'blobs', 'sha256', hex.slice(0, 2), hex),
          join(registry.root, 'repositories', `app-${at % 3}`, '_blobs', hex),
          join(registry.root, 'repositories', `other-${at}`, '_blobs', hex),
        ])
        for (const path of paths) await utimes(path, then, then).catch(() => {})
      }
      await copy(source, registry.client().repository(`app-${at % 3}`), image, { tag: `t${at}` })
    })
    await Promise.all(work).finally(() => {
      pushing = false
    })
    await collecting
    expect(runs).toBeGreaterThan(1)
    for (const at of images.keys()) await expectWhole(registry, `app-${at % 3}`, `t${at}`)
    await age(registry.root)
    await registry.server.collectGarbage()
    for (const at of images.keys()) await expectWhole(registry, `app-${at % 3}`, `t${at}`)
    // Three pieces of content for each image, and no more.
    expect(await contents(registry.root)).toHaveLength(3 * images.length)
  })

  it('runs by itself at its interval, and is over when the server has closed', async () => {
    const collected = Promise.withResolvers<object>()
    // A run that begins while the blob arrives may take its link only, and the next its content.
    let unlinked = 0
    const logger = {
      info: (fields: object, message: string) => {
        if (message !== 'garbage collected' || !('removed' in fields && 'unlinked' in fields)) return
        unlinked += Number(fields.unlinked)
        if (fields.removed === 1) collected.resolve({ ...fields, unlinked })
      },
      error: () => {},
    }
    const registry = await startRegistry({ garbage: { intervalMs: 10, graceMs: 0 }, logger })
    const bytes = noise(100)
    await registry
      .client()
      .repository('app')
      .putBlob(describeBlob(bytes), () => chunks(bytes))
    expect(await collected.promise).toMatchObject({ unlinked: 1, bytes: 100 })
    const running = registry.server.collectGarbage().catch(() => {})
    await registry.server.close()
    await running
  })
})
