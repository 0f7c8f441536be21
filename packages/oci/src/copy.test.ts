import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { pushReferrer } from './artifact.ts'
import type { ContentTarget } from './content.ts'
import { copy } from './copy.ts'
import { OciError } from './errors.ts'
import { Layout } from './layout/layout.ts'
import type { Descriptor } from './manifest.ts'
import { failure, pushImage, pushIndex } from './testing/content.ts'
import { startRegistry, temporaryDirectory } from './testing/registry.ts'

async function newLayout(): Promise<Layout> {
  return Layout.open(join(await temporaryDirectory(), 'layout'), { create: true })
}

/** An index of an image and of another index, signed at two levels, and a signature of a signature. */
async function nested(target: ContentTarget): Promise<{ root: Descriptor; leaf: Descriptor; signature: Descriptor }> {
  const leaf = await pushImage(target, 1)
  const inner = await pushIndex(target, [await pushImage(target, 2), await pushImage(target, 3)])
  const root = await pushIndex(target, [leaf, inner], 'root')
  const signature = await pushReferrer(target, root, { artifactType: 'application/vnd.example.signature', layers: [] })
  await pushReferrer(target, signature, { artifactType: 'application/vnd.example.countersignature', layers: [] })
  await pushReferrer(target, leaf, { artifactType: 'application/vnd.example.sbom', layers: [] })
  return { root, leaf, signature }
}

/** A target that records the order of what arrives, and can fail. */
function recording(target: Layout, fail: (kind: string, at: number) => boolean = () => false): { target: ContentTarget; order: string[] } {
  const order: string[] = []
  const note = (kind: string, digest: string): void => {
    if (fail(kind, order.length)) throw new OciError('Unreachable', 'the link is down')
    order.push(`${kind} ${digest}`)
  }
  return {
    order,
    target: {
      hasManifest: (digest) => target.hasManifest(digest),
      hasBlob: (descriptor) => target.hasBlob(descriptor),
      async putManifest(bytes, mediaType, options) {
        const descriptor = await target.putManifest(bytes, mediaType, options)
        note(options?.tag === undefined ? 'manifest' : 'tag', descriptor.digest)
        return descriptor
      },
      async putBlob(descriptor, content) {
        note('blob', descriptor.digest)
        await target.putBlob(descriptor, content)
      },
    },
  }
}

describe('copy', () => {
  it('moves nested indexes with their referrers from layout to registry to layout, digests unchanged', async () => {
    const [from, to] = [await newLayout(), await newLayout()]
    const repository = (await startRegistry()).client().repository('team/app')
    const { root, leaf, signature } = await nested(from)
    const first = await copy(from, repository, root, { referrers: true, tag: '1.0' })
    const second = await copy(repository, to, root, { referrers: true, tag: '1.0' })
    expect(first).toMatchObject({ manifests: 8, skipped: 0 })
    expect(second).toMatchObject({ manifests: 8, skipped: 0 })
    for (const place of [repository, to]) {
      expect(await place.resolve('1.0')).toEqual(root)
      expect((await place.referrers(root.digest)).map((entry) => entry.artifactType)).toEqual(['application/vnd.example.signature'])
      expect((await place.referrers(signature.digest)).map((entry) => entry.artifactType)).toEqual([
        'application/vnd.example.countersignature',
      ])
      expect((await place.referrers(leaf.digest)).map((entry) => entry.artifactType)).toEqual(['application/vnd.example.sbom'])
    }
  })

  it('sends nothing twice, and brings signatures that came later', async () => {
    const [from, to] = [await newLayout(), await newLayout()]
    const { root, leaf } = await nested(from)
    await copy(from, to, root)
    expect(await to.referrers(root.digest)).toEqual([])
    await pushReferrer(from, leaf, { artifactType: 'application/vnd.example.scan', layers: [] })
    expect(await copy(from, to, root, { referrers: true })).toMatchObject({ manifests: 4 })
    expect(await copy(from, to, root, { referrers: true })).toMatchObject({ manifests: 0, blobs: 0, bytes: 0 })
    expect((await to.referrers(leaf.digest)).map((entry) => entry.artifactType).sort()).toEqual([
      'application/vnd.example.sbom',
      'application/vnd.example.scan',
    ])
  })

  it('shows a tag only when everything under it is there', async () => {
    const [from, to] = [await newLayout(), await newLayout()]
    const { root } = await nested(from)
    const { target, order } = recording(to)
    await copy(from, target, root, { referrers: true, tag: '1.0' })
    expect(order.at(-1)).toBe(`tag ${root.digest}`)
    expect(order.filter((entry) => entry.startsWith('tag'))).toHaveLength(1)
    expect(order.indexOf(`manifest ${root.digest}`)).toBeGreaterThan(
      order.findLastIndex((entry) => entry.startsWith('blob') && !entry.includes('44136fa3')),
    )
  })

  it('goes on after an interruption at any step', { timeout: 30_000 }, async () => {
    const from = await newLayout()
    const { root } = await nested(from)
    const steps = recording(await newLayout())
    await copy(from, steps.target, root, { referrers: true, tag: '1.0' })
    for (let broken = 0; broken < steps.order.length; broken += 1) {
      const to = await newLayout()
      const breaks = recording(to, (_, at) => at === broken)
      expect(await failure(copy(from, breaks.target, root, { referrers: true, tag: '1.0' }))).toBe('Unreachable')
      await copy(from, to, root, { referrers: true, tag: '1.0' })
      expect(await copy(to, await newLayout(), root, { referrers: true })).toMatchObject({ manifests: 8, skipped: 0 })
    }
  })

  it('tells its progress, and ends at what it returns', async () => {
    const [from, to] = [await newLayout(), await newLayout()]
    const root = await pushImage(from, 1, { bytes: 500_000 })
    const seen: number[] = []
    const result = await copy(from, to, root, { onProgress: ({ bytes }) => seen.push(bytes) })
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(seen.length).toBeGreaterThan(5)
    expect(seen.at(-1)).toBe(result.bytes)
  })

  it('refuses a descriptor that lies about size or is no manifest', async () => {
    const [from, to] = [await newLayout(), await newLayout()]
    const root = await pushImage(from, 1)
    expect(await failure(copy(from, to, { ...root, size: root.size + 1 }))).toBe('SizeMismatch')
    expect(await failure(copy(from, to, { ...root, mediaType: 'text/plain' }))).toBe('Unsupported')
  })

  it('takes blobs over inside one registry without sending them', async () => {
    const registry = (await startRegistry()).client()
    const [from, to] = [registry.repository('bundles/app'), registry.repository('mirror/example.test/app')]
    const root = await pushImage(from, 1, { bytes: 100_000 })
    expect(await copy(from, to, root, { tag: '1.0' })).toMatchObject({ blobs: 0, manifests: 1, bytes: root.size })
    expect(await copy(to, await newLayout(), root)).toMatchObject({ blobs: 2 })
  })
})
