import { join } from 'node:path'
import { Archive, Layout, mirrorRepository, parseReference, type Registry } from '@muster/oci'
import { describe, expect, it, vi } from 'vitest'
import { takeInventory } from './inventory.ts'
import { formatCounts } from './kinds.ts'
import { relocate, relocateToArchive, type SourceArtifact } from './relocate.ts'
import { sinceArchive, sinceArtifact } from './since.ts'
import { attest, bundle, hang, image, index, noise, sign, startRegistry, temporaryDirectory } from './testing.ts'

// Against real registries: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const options = { jobs: 4 }
const all = '2 images, 6 signatures, 3 attestations, 1 SBOM'
const mirrorOf = (registry: Registry) => (name: string) => registry.repository(mirrorRepository(parseReference(name)))

async function source(): Promise<{ source: SourceArtifact & { tag: string }; made: Awaited<ReturnType<typeof bundle>>; store: Layout }> {
  const store = await Layout.open(await temporaryDirectory(), { create: true })
  const made = await bundle(store)
  return { source: { name: 'the source', store, descriptor: made.root, tag: '1' }, made, store }
}

describe('pain 11: signatures lost or failing on copy', () => {
  it('from registry to registry everything that hangs on a bundle goes along, counted before and after', async () => {
    const [{ registry: from }, { registry: to, requests }] = [await startRegistry(), await startRegistry()]
    const store = from.repository('bundles/shop')
    const { root } = await bundle(store)
    const result = await relocate(
      { name: 'from', store, descriptor: root },
      { name: 'to', store: to.repository('bundles/shop'), tag: '1' },
      options,
    )
    expect(formatCounts(result.before)).toBe(all)
    expect(result.after).toEqual(result.before)
    const there = await takeInventory(to.repository('bundles/shop'), root, options)
    expect(formatCounts(there.counts)).toBe(all)
    const writes = requests.filter((line) => /^(PUT|PATCH|POST) /.test(line))
    expect(writes.at(-1)).toBe('PUT /v2/bundles/shop/manifests/1')
    expect(writes.findLastIndex((line) => line.includes('/blobs/'))).toBeLessThan(writes.findIndex((line) => line.includes('/manifests/')))
  })

  it('through an archive and into another registry nothing is lost either, and nodes find the images with their signatures', async () => {
    const { source: from, made } = await source()
    const file = join(await temporaryDirectory(), 'shop.tar')
    const packed = await relocateToArchive([from], { file }, options)
    expect(packed.artifacts[0]?.after).toEqual(packed.artifacts[0]?.before)
    const archive = await Archive.open(file)
    const { registry } = await startRegistry()
    const result = await relocate(
      { name: file, store: archive, descriptor: made.root },
      { name: 'there', store: registry.repository('bundles/shop'), tag: '1', mirrorOf: mirrorOf(registry) },
      options,
    )
    await archive.close()
    expect(formatCounts(result.after)).toBe(all)
    expect(result.mirrors).toEqual(['mirror/registry.example/team/one', 'mirror/registry.example__5000/two'])
    const one = registry.repository('mirror/registry.example/team/one')
    expect(await one.resolve('1.0')).toMatchObject({ digest: made.one.digest })
    expect(formatCounts((await takeInventory(one, made.one, options)).counts)).toBe('1 image, 4 signatures, 0 attestations, 1 SBOM')
  })

  it('signatures that are only at the mirror of an image are found, too', async () => {
    const { registry } = await startRegistry()
    const store = registry.repository('bundles/shop')
    const { root, one } = await bundle(store)
    const mirror = registry.repository('mirror/registry.example/team/one')
    await relocate({ name: 'one', store, descriptor: one }, { name: 'mirror', store: mirror }, options)
    await sign(mirror, one, 'made later, at the mirror alone')
    const file = join(await temporaryDirectory(), 'shop.tar.zst')
    const packed = await relocateToArchive(
      [{ name: 'shop', store, descriptor: root, tag: '1', mirrorOf: mirrorOf(registry) }],
      { file },
      options,
    )
    expect(packed.artifacts[0]?.after.signatures).toBe(7)
  })

  it('a registry that drops what it accepts is found out, by name', async () => {
    const { source: from, made } = await source()
    const target = await Layout.open(await temporaryDirectory(), { create: true })
    const listless = new Proxy(target, {
      get: (layout, key) => {
        if (key === 'referrers') return async () => []
        if (key === 'resolve') return async (tag: string) => (tag.startsWith('sha256-') ? undefined : layout.resolve(tag))
        const value: unknown = Reflect.get(layout, key)
        return typeof value === 'function' ? value.bind(layout) : value
      },
    })
    const result = relocate(from, { name: 'listless', store: listless, tag: '1' }, options)
    await expect(result).rejects.toMatchObject({ code: 'Incomplete', message: expect.stringContaining(`of ${made.one.digest}`) })
  })
})

describe('relocating', () => {
  it('again moves nothing', async () => {
    const { source: from } = await source()
    const { registry, requests } = await startRegistry()
    const target = { name: 'there', store: registry.repository('shop'), tag: '1', mirrorOf: mirrorOf(registry) }
    await relocate(from, target, options)
    const before = requests.length
    const again = await relocate(from, target, options)
    expect(again.moved).toMatchObject({ manifests: 0, blobs: 0, bytes: 0, mounted: 0 })
    expect(requests.slice(before).filter((line) => !/^(GET|HEAD) /.test(line))).toEqual([])
  })

  it('lists a referrer that is there and was not listed when a run was killed', async () => {
    const { source: from, made, store } = await source()
    const target = await Layout.open(await temporaryDirectory(), { create: true })
    await relocate(from, { name: 'there', store: target }, options)
    await target.untag(`sha256-${made.one.digest.slice(7)}`)
    expect(await target.referrers(made.one.digest)).toEqual([])
    await relocate(from, { name: 'there', store: target }, options)
    expect(await target.referrers(made.one.digest)).toHaveLength((await store.referrers(made.one.digest)).length)
  })

  it('within one registry moves no blob', async () => {
    const { registry } = await startRegistry()
    const store = registry.repository('a')
    const { root } = await bundle(store)
    const { moved } = await relocate(
      { name: 'a', store, descriptor: root },
      { name: 'b', store: registry.repository('b'), tag: 'x' },
      options,
    )
    expect(moved.blobs).toBe(0)
    expect(moved.mounted).toBeGreaterThan(5)
  })

  it('writes nothing when signatures are refused', async () => {
    const { source: from } = await source()
    const { registry, requests } = await startRegistry()
    const verify = async () => {
      throw new Error('refused')
    }
    await expect(relocate({ ...from, verify }, { name: 'there', store: registry.repository('shop') }, options)).rejects.toThrow('refused')
    expect(requests).toEqual([])
  })

  it('refuses a list of referrers that lies', async () => {
    const { source: from, made, store } = await source()
    const other = await attest(store, await image(store, 'outside'), 'of something else')
    await index(store, [other], {}, `sha256-${made.platform.digest.slice(7)}`)
    await expect(takeInventory(from.store, from.descriptor, options)).rejects.toMatchObject({ code: 'WrongSubject' })
  })

  it('an endless chain of referrers ends', async () => {
    const { source: from, made, store } = await source()
    let subject = made.one
    for (let at = 0; at < 20; at += 1) subject = await hang(store, subject, `link ${at}`, 'application/x-link')
    await expect(takeInventory(from.store, from.descriptor, options)).rejects.toMatchObject({ code: 'TooLarge' })
  })
})

describe('--since', () => {
  it('an archive only carries the layer that changed, names what it follows, and is refused where that is not', async () => {
    const { source: from, made, store } = await source()
    const directory = await temporaryDirectory()
    const full = join(directory, 'full.tar')
    await relocateToArchive([from], { file: full }, options)
    const next = await bundle(store, '2')
    const later = { ...from, name: 'version 2', descriptor: next.root, tag: '2' }
    const delta = join(directory, 'delta.tar')
    const packed = await relocateToArchive([later], { file: delta }, { ...options, since: await sinceArchive(full, {}) })
    // The layer and config of one image, the content, and two small signatures.
    expect(packed.content.blobs).toBe(5)
    const byDigest = await relocateToArchive(
      [later],
      { file: join(directory, 'by-digest.tar') },
      { ...options, since: await sinceArtifact(store, made.root.digest, options) },
    )
    expect(byDigest.content).toEqual(packed.content)

    const archive = await Archive.open(delta)
    expect(archive.base?.roots).toEqual([made.root.digest])
    const { registry, requests } = await startRegistry()
    const target = { name: 'there', store: registry.repository('shop'), tag: '2' }
    const carried = { name: delta, store: archive, descriptor: next.root }
    await expect(relocate(carried, target, options)).rejects.toMatchObject({ code: 'BaseMissing' })
    expect(requests.filter((line) => !/^(GET|HEAD) /.test(line))).toEqual([])
    await relocate(from, { ...target, tag: '1' }, options)
    const { after, before, moved } = await relocate(carried, target, options)
    expect(after).toEqual(before)
    expect(moved.blobs).toBe(5)
    await archive.close()
  })

  it('to a registry that does not have the earlier one is refused before anything is written', async () => {
    const { source: from, made, store } = await source()
    const next = await bundle(store, '2')
    const { registry, requests } = await startRegistry()
    const since = await sinceArtifact(store, made.root.digest, options)
    const result = relocate(
      { ...from, descriptor: next.root },
      { name: 'there', store: registry.repository('shop') },
      { ...options, since },
    )
    await expect(result).rejects.toMatchObject({ code: 'BaseMissing' })
    expect(requests.filter((line) => !/^(GET|HEAD) /.test(line))).toEqual([])
  })
})

describe('an archive', () => {
  it('is the same for the same content, holds several artifacts, and can be compressed and split', async () => {
    const { source: from, store } = await source()
    const big = await image(store, 'big', noise(10_000_000))
    const both = [from, { name: 'big', store, descriptor: big, tag: 'big:1' }]
    const directory = await temporaryDirectory()
    const one = await relocateToArchive(both, { file: join(directory, 'a.tar.zst'), partBytes: 4 * 1024 * 1024 }, options)
    const two = await relocateToArchive(both, { file: join(directory, 'b.tar.zst') }, options)
    expect(one.bytes).toBe(two.bytes)
    expect(one.files.length).toBeGreaterThan(2)
    const archive = await Archive.open(join(directory, 'a.tar.zst'))
    expect(await archive.tags()).toEqual(['1', 'big:1'])
    const target = await Layout.open(join(directory, 'layout'), { create: true })
    await relocate({ name: 'big', store: archive, descriptor: big }, { name: 'layout', store: target, tag: 'big' }, options)
    await archive.close()
  })
})
