import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pushReferrer } from '../artifact.ts'
import { readBlob, readJson } from '../content.ts'
import { digestHex } from '../digest.ts'
import { mediaTypes, parseManifest } from '../manifest.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage } from '../testing/content.ts'
import { temporaryDirectory } from '../testing/registry.ts'
import { Layout } from './layout.ts'

async function newLayout(): Promise<Layout> {
  return Layout.open(join(await temporaryDirectory(), 'layout'), { create: true })
}

describe('a layout', () => {
  it('is one that other tools read: oci-layout, index.json, blobs by digest', async () => {
    const layout = await newLayout()
    const image = await pushImage(layout, 1, { tag: 'example.test/app:1.0' })
    const index: unknown = JSON.parse(await readFile(join(layout.directory, 'index.json'), 'utf8'))
    expect(JSON.parse(await readFile(join(layout.directory, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
    expect(index).toEqual({
      schemaVersion: 2,
      mediaType: mediaTypes.imageIndex,
      manifests: [{ ...image, annotations: { 'org.opencontainers.image.ref.name': 'example.test/app:1.0' } }],
    })
    expect((await stat(join(layout.directory, 'blobs', 'sha256', digestHex(image.digest)))).size).toBe(image.size)
  })

  it('gives the rest of a blob to who has its beginning', async () => {
    const layout = await newLayout()
    const bytes = noise(200_000)
    await layout.putBlob(describeBlob(bytes), () => chunks(bytes))
    expect((await collect(layout.blobRest(describeBlob(bytes), 150_000))).equals(bytes.subarray(150_000))).toBe(true)
    expect(await failure(collect(layout.blobRest(describeBlob(noise(10)), 5)))).toBe('NotFound')
  })

  it('keeps its tags over closing and opening', async () => {
    const layout = await newLayout()
    const image = await pushImage(layout, 1, { tag: 'example.test/app:1.0' })
    const again = await Layout.open(layout.directory)
    expect(await again.resolve('example.test/app:1.0')).toEqual(image)
    expect(await again.resolve(image.digest)).toEqual(image)
    expect(await again.tags()).toEqual(['example.test/app:1.0'])
    expect(await again.untag('example.test/app:1.0')).toBe(true)
    expect(await again.resolve('example.test/app:1.0')).toBeUndefined()
  })

  it('that does not exist is not made by opening it to read', async () => {
    const directory = join(await temporaryDirectory(), 'nothing')
    expect(await failure(Layout.open(directory))).toBe('NotFound')
    await expect(stat(directory)).rejects.toThrow('ENOENT')
  })

  it('loses no tag when many write at once, through one object or several', async () => {
    const one = await newLayout()
    const two = await Layout.open(one.directory)
    const names = Array.from({ length: 20 }, (_, at) => `tag-${at}`)
    await Promise.all(names.map((tag, at) => pushImage(at % 2 === 0 ? one : two, at, { tag })))
    expect((await one.tags()).sort()).toEqual(names.sort())
  })

  it('lists all referrers of a subject when many are added at once', async () => {
    const layout = await newLayout()
    const image = await pushImage(layout, 1, { tag: 'app' })
    const types = Array.from({ length: 10 }, (_, at) => `application/vnd.example.${at}`)
    await Promise.all(types.map((artifactType) => pushReferrer(layout, image, { artifactType, layers: [] })))
    const found = await layout.referrers(image.digest)
    expect(found.map((entry) => entry.artifactType).sort()).toEqual(types)
    expect(await layout.referrers(image.digest, { artifactType: 'application/vnd.example.3' })).toHaveLength(1)
    expect(await layout.referrers(`sha256:${'0'.repeat(64)}`)).toEqual([])
    expect(await layout.tags()).toEqual(['app'])
  })

  it('says when a byte of a blob or manifest was changed on disk', async () => {
    const layout = await newLayout()
    const image = await pushImage(layout, 1)
    const layer = parseManifest((await layout.manifest(image.digest)).bytes).layers[0] ?? image
    for (const digest of [layer.digest, image.digest]) {
      const path = join(layout.directory, 'blobs', 'sha256', digestHex(digest))
      const bytes = await readFile(path)
      bytes.writeUInt8(bytes.readUInt8(5) ^ 1, 5)
      await writeFile(path, bytes)
    }
    expect(await failure(collect(layout.blob(layer)))).toBe('DigestMismatch')
    expect(await failure(layout.manifest(image.digest))).toBe('DigestMismatch')
  })

  it('keeps nothing of content that is not what was announced', async () => {
    const layout = await newLayout()
    const bytes = noise(1000)
    expect(await failure(layout.putBlob(describeBlob(bytes), () => chunks(noise(1000, 2))))).toBe('DigestMismatch')
    expect(await failure(layout.putBlob(describeBlob(bytes), () => chunks(bytes.subarray(1))))).toBe('SizeMismatch')
    expect(await layout.hasBlob(describeBlob(bytes))).toBe(false)
    expect(await readdir(join(layout.directory, '.muster-tmp'))).toEqual([])
  })

  it('removes what a killed process left, and not what is being written', async () => {
    const layout = await newLayout()
    const temporary = join(layout.directory, '.muster-tmp')
    await writeFile(join(temporary, 'old'), 'x')
    await writeFile(join(temporary, 'young'), 'x')
    await utimes(join(temporary, 'old'), 0, 0)
    await Layout.open(layout.directory)
    expect(await readdir(temporary)).toEqual(['young'])
  })

  it('says by code what is missing, malformed or too large', async () => {
    const layout = await newLayout()
    const bytes = new TextEncoder().encode('not json')
    const descriptor = describeBlob(bytes)
    expect(await failure(collect(layout.blob(descriptor)))).toBe('NotFound')
    expect(await failure(layout.manifest(descriptor.digest))).toBe('NotFound')
    await layout.putBlob(descriptor, () => chunks(bytes))
    expect(await failure(readJson(layout, descriptor, { limit: 100 }))).toBe('InvalidJson')
    expect(await failure(readBlob(layout, descriptor, { limit: 3 }))).toBe('TooLarge')
    expect(await failure(layout.resolve(descriptor.digest))).toBe('InvalidManifest')
    expect(await failure(layout.putManifest(bytes, mediaTypes.imageManifest))).toBe('InvalidManifest')
    expect(await failure(layout.hasManifest('../../etc/passwd'))).toBe('InvalidDigest')
    await writeFile(join(layout.directory, 'oci-layout'), '{"imageLayoutVersion":"9"}')
    expect(await failure(Layout.open(layout.directory))).toBe('Unsupported')
  })

  it('stops writing when it is aborted', async () => {
    const layout = await newLayout()
    const controller = new AbortController()
    const bytes = noise(200_000)
    async function* content(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 100_000)
      controller.abort(new Error('enough'))
      yield bytes.subarray(100_000)
    }
    await expect(layout.putBlob(describeBlob(bytes), content, { signal: controller.signal })).rejects.toThrow('enough')
    expect(await layout.hasBlob(describeBlob(bytes))).toBe(false)
  })
})
