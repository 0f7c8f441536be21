import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { peerMs } from '../../../../test/peers/peers.ts'
import { distribution3, peerRegistries } from '../../../../test/peers/registries.ts'
import { pushReferrer } from '../artifact.ts'
import { copy } from '../copy.ts'
import { digestOf } from '../digest.ts'
import { Layout } from '../layout/layout.ts'
import { parseManifest } from '../manifest.ts'
import { referrersTag } from '../referrers.ts'
import { chunks, collect, describeBlob, failure, noise, pushImage, pushIndex } from '../testing/content.ts'
import { startPeer } from '../testing/peer.ts'
import { temporaryDirectory } from '../testing/registry.ts'

describe.each(peerRegistries)('with $name, the client', (peer) => {
  beforeAll(async () => {
    await peer.program()
  }, peerMs)

  it('pushes, pulls and lists, and knows what is not there', async () => {
    const { registry } = await startPeer(peer)
    const repository = registry.repository('team/app')
    const bytes = noise(9_000_000)
    const blob = describeBlob(bytes)
    await repository.putBlob(blob, () => chunks(bytes))
    expect(await repository.hasBlob(blob)).toBe(true)
    expect((await collect(repository.blob(blob))).equals(bytes)).toBe(true)
    const image = await pushImage(repository, 1, { tag: '1.0' })
    await pushImage(repository, 2, { tag: '2.0' })
    expect(await repository.resolve('1.0')).toEqual(image)
    expect((await repository.manifest('1.0')).descriptor).toEqual(image)
    expect((await repository.manifest(image.digest)).descriptor).toEqual(image)
    expect((await repository.tags()).sort()).toEqual(['1.0', '2.0'])
    expect(await repository.resolve('3.0')).toBeUndefined()
    expect(await repository.hasBlob(describeBlob(noise(3)))).toBe(false)
    expect(await failure(collect(repository.blob(describeBlob(noise(3)))))).toBe('NotFound')
    expect(await failure(repository.manifest(digestOf(noise(3))))).toBe('NotFound')
  })

  it('copies an index with all its referrers there, within it, and back, and nothing differs', async () => {
    const { registry } = await startPeer(peer)
    const source = await Layout.open(join(await temporaryDirectory(), 'source'), { create: true })
    const images = [await pushImage(source, 1), await pushImage(source, 2)]
    const index = await pushIndex(source, images, '1.0')
    const artifactType = 'application/vnd.example.signature'
    const signature = await pushReferrer(source, index, { artifactType, layers: [{ mediaType: 'text/plain', bytes: noise(100) }] })
    const nested = await pushReferrer(source, signature, { artifactType: 'application/vnd.example.note', layers: [] })
    const ofImage = await pushReferrer(source, images[0] ?? index, { artifactType: 'application/vnd.example.sbom', layers: [] })

    const [app, other] = [registry.repository('team/app'), registry.repository('team/other')]
    await copy(source, app, index, { tag: '1.0', referrers: true })
    await copy(app, other, index, { tag: '1.0', referrers: true })
    const back = await Layout.open(join(await temporaryDirectory(), 'back'), { create: true })
    await copy(other, back, index, { tag: '1.0', referrers: true })
    for (const place of [app, other, back]) {
      expect(await place.resolve('1.0')).toMatchObject({ digest: index.digest })
      expect((await place.referrers(index.digest)).map(({ digest }) => digest)).toEqual([signature.digest])
      expect(await place.referrers(index.digest, { artifactType })).toMatchObject([{ digest: signature.digest, artifactType }])
      expect(await place.referrers(index.digest, { artifactType: 'application/vnd.example.other' })).toEqual([])
      expect((await place.referrers(signature.digest)).map(({ digest }) => digest)).toEqual([nested.digest])
      expect((await place.referrers(images[0]?.digest ?? '')).map(({ digest }) => digest)).toEqual([ofImage.digest])
      for (const image of images) {
        for (const blob of parseManifest((await place.manifest(image.digest)).bytes).blobs) await collect(place.blob(blob))
      }
    }
    // None of the three lists referrers: they are at the tag of the specification, for other clients too.
    expect(await app.tags()).toContain(referrersTag(index.digest))
  })

  it('adds referrers of one subject one after another, and all are there', async () => {
    const { registry } = await startPeer(peer)
    const repository = registry.repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    const added = []
    for (let at = 0; at < 4; at += 1) {
      added.push((await pushReferrer(repository, image, { artifactType: `application/vnd.example.${at}`, layers: [] })).digest)
    }
    expect((await repository.referrers(image.digest)).map(({ digest }) => digest).sort()).toEqual(added.sort())
  })

  it('mounts a blob from another repository, or says that it did not', async () => {
    const { registry } = await startPeer(peer)
    const [from, to] = [registry.repository('team/from'), registry.repository('team/to')]
    const bytes = noise(5000)
    const blob = describeBlob(bytes)
    await from.putBlob(blob, () => chunks(bytes))
    if (!(await to.mount(blob, 'team/from'))) await to.putBlob(blob, () => chunks(bytes))
    expect((await collect(to.blob(blob))).equals(bytes)).toBe(true)
  })

  it('deletes an image', async () => {
    const { registry } = await startPeer(peer)
    const repository = registry.repository('team/app')
    const image = await pushImage(repository, 1, { tag: '1.0' })
    expect(await repository.deleteManifest(image.digest)).toBe(true)
    expect(await repository.resolve(image.digest)).toBeUndefined()
  })
})

it('the client says so when a registry does not allow to delete', async () => {
  const { registry } = await startPeer(distribution3, { deletes: false })
  const image = await pushImage(registry.repository('app'), 1, { tag: '1.0' })
  expect(await failure(registry.repository('app').deleteManifest(image.digest))).toBe('Unsupported')
  expect(await registry.repository('app').resolve('1.0')).toEqual(image)
})
