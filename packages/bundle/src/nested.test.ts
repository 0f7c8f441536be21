import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentSource, type Descriptor, digestOf, Layout, mediaTypes, pushArtifact, pushReferrer } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { writeBundle } from './content.ts'
import { annotations, bundleTypes } from './format.ts'
import { makeBundle } from './make.ts'
import { readBundle } from './read.ts'

vi.setConfig({ testTimeout: 60_000 })

let dir = ''
let layout: Layout
let image: Descriptor
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-nested-'))
  layout = await Layout.open(join(dir, 'layout'), { create: true })
  image = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] })
})
afterEach(() => rm(dir, { recursive: true }))

const pod = (name: string, text = `registry.example/${name}:1@${image.digest}`) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'c', image: text }] },
})
const inner = (name: string) =>
  writeBundle(layout, {
    name,
    version: '1.0.0',
    components: [{ name: 'app', objects: [pod(name)] }],
    images: [{ name: `registry.example/${name}:1`, digest: image.digest, mediaType: image.mediaType, size: image.size }],
  })

/** A bundle.yaml that includes others out of the layout. */
async function outer(name: string, included: readonly { name: string; digest: string }[], components = '[]'): Promise<string> {
  const folder = join(dir, name)
  await mkdir(folder, { recursive: true })
  const bundles = included.map(({ name: one, digest }) => `{name: ${one}, digest: "${digest}", layout: ../layout}`).join(', ')
  await writeFile(
    join(folder, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: ${name}\nversion: 2.0.0\ncomponents: ${components}\nbundles: [${bundles}]\n`,
  )
  return folder
}
const make = async (sourceDir: string, target = layout) =>
  makeBundle({ sourceDir, target, images: async () => ({ source: layout, descriptor: image }), renderKustomize: async () => '' })

describe('a bundle that includes others', () => {
  it('has their objects and images, and carries them with their signatures', async () => {
    const [cache, db] = [await inner('cache'), await inner('db')]
    await pushReferrer(layout, db.descriptor, { artifactType: 'application/x-signature', layers: [] })
    const folder = await outer(
      'shop',
      [
        { name: 'cache', digest: cache.descriptor.digest },
        { name: 'db', digest: db.descriptor.digest },
      ],
      '[{name: app, manifests: [pod.yaml]}]',
    )
    await writeFile(join(folder, 'pod.yaml'), JSON.stringify(pod('web', 'registry.example/web:1')))
    const target = await Layout.open(join(dir, 'target'), { create: true })
    const { descriptor, config } = await make(folder, target)
    expect((await make(folder)).descriptor.digest).toBe(descriptor.digest)
    const read = await readBundle(target, descriptor)
    expect(read.objects.map(({ metadata: { name } }) => name)).toEqual(['cache', 'db', 'web'])
    expect(read.images.map(({ name }) => name)).toEqual(['registry.example/cache:1', 'registry.example/db:1', 'registry.example/web:1'])
    expect(read.nested.map(({ name, digest }) => [name, digest])).toEqual([
      ['cache', cache.descriptor.digest],
      ['db', db.descriptor.digest],
    ])
    expect(config).toMatchObject({ objects: 3, components: [{ name: 'app', objects: 1 }] })
    expect(await target.referrers(db.descriptor.digest)).toHaveLength(1)
  })

  it('may be included itself, four levels deep and no deeper', async () => {
    let { descriptor } = await inner('level0')
    for (let level = 1; level <= 4; level += 1) {
      const folder = await outer(`level${level}`, [{ name: `level${level - 1}`, digest: descriptor.digest }])
      descriptor = (await make(folder)).descriptor
    }
    expect((await readBundle(layout, descriptor)).nested.map(({ name }) => name)).toEqual(['level0', 'level1', 'level2', 'level3'])
    const deeper = await make(await outer('level5', [{ name: 'level4', digest: descriptor.digest }]))
    await expect(readBundle(layout, deeper.descriptor)).rejects.toMatchObject({ code: 'TooLarge' })
  })

  it.each<[string, string, (cache: string, db: string) => { name: string; digest: string }[]]>([
    ['another name', 'NestedBundle', (cache) => [{ name: 'db', digest: cache }]],
    [
      'one twice',
      'NestedBundle',
      (cache) => [
        { name: 'cache', digest: cache },
        { name: 'cache', digest: cache },
      ],
    ],
  ])('is refused with %s', async (_what, code, included) => {
    const cache = await inner('cache')
    await expect(make(await outer('shop', included(cache.descriptor.digest, '')))).rejects.toMatchObject({ code })
  })

  it('is refused where it includes itself, at whatever level, or the same object twice', async () => {
    const shop = await inner('shop')
    const other = await make(await outer('other', [{ name: 'shop', digest: shop.descriptor.digest }]))
    await expect(make(await outer('shop', [{ name: 'other', digest: other.descriptor.digest }]))).rejects.toMatchObject({
      code: 'NestedBundle',
    })
    const folder = await outer('more', [{ name: 'shop', digest: shop.descriptor.digest }], '[{name: app, manifests: [pod.yaml]}]')
    await writeFile(join(folder, 'pod.yaml'), JSON.stringify(pod('shop')))
    await expect(make(folder)).rejects.toMatchObject({ code: 'DuplicateObject', message: expect.stringContaining('the bundle shop') })
  })
})

describe('reading bundles in bundles that somebody forged', () => {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
  /** An index and content by hand, with any children. */
  async function forged(children: readonly Descriptor[], config: object): Promise<Descriptor> {
    const content = await pushArtifact(layout, {
      artifactType: bundleTypes.content,
      config: {
        mediaType: bundleTypes.config,
        bytes: encode({ name: 'shop', version: '1.0.0', images: [], components: [], objects: 0, ...config }),
      },
      layers: [],
    })
    return layout.putManifest(
      encode({
        schemaVersion: 2,
        mediaType: mediaTypes.imageIndex,
        artifactType: bundleTypes.bundle,
        manifests: [
          { mediaType: content.mediaType, digest: content.digest, size: content.size, artifactType: bundleTypes.content },
          ...children.map(({ mediaType, digest, size }) => ({ mediaType, digest, size, artifactType: bundleTypes.bundle })),
        ],
        annotations: { [annotations.title]: 'shop', [annotations.version]: '1.0.0' },
      }),
      mediaTypes.imageIndex,
    )
  }
  const named = ({ descriptor, config }: Awaited<ReturnType<typeof inner>>, more: object = {}) => ({
    name: config.name,
    version: config.version,
    digest: descriptor.digest,
    size: descriptor.size,
    objects: config.objects,
    ...more,
  })

  it.each<[string, object]>([
    ['another name', { name: 'other' }],
    ['another version', { version: '9.0.0' }],
    ['another number of objects', { objects: 0 }],
  ])('refuses one that is said to have %s', async (_what, lie) => {
    const cache = await inner('cache')
    const shop = await forged([cache.descriptor], { bundles: [named(cache, lie)], objects: 1 })
    await expect(readBundle(layout, shop)).rejects.toMatchObject({ code: 'FormatInvalid' })
  })

  it('refuses one of which the index says nothing, or bundle.json', async () => {
    const cache = await inner('cache')
    await expect(
      readBundle(layout, await forged([cache.descriptor], { bundles: [named(cache)], images: [], objects: 1 })),
    ).rejects.toMatchObject({
      code: 'FormatInvalid',
      message: expect.stringContaining('does not carry'),
    })
    await expect(readBundle(layout, await forged([], { bundles: [named(cache)], objects: 1 }))).rejects.toMatchObject({
      code: 'FormatInvalid',
    })
    await expect(readBundle(layout, await forged([cache.descriptor], {}))).rejects.toMatchObject({ code: 'FormatInvalid' })
  })

  it('refuses one of another size, and one that is included twice', async () => {
    const cache = await inner('cache')
    const wrong = await forged([cache.descriptor], { bundles: [named(cache, { size: 1 })], objects: 1 })
    await expect(readBundle(layout, wrong)).rejects.toMatchObject({ code: 'DataDamaged' })
    const twice = await forged([cache.descriptor, cache.descriptor], { bundles: [named(cache), named(cache)], objects: 2 })
    await expect(readBundle(layout, twice)).rejects.toMatchObject({ code: 'FormatInvalid', message: expect.stringContaining('twice') })
  })

  it('ends with a source that answers every digest with the same bundle', async () => {
    const cache = await inner('cache')
    const shop = await forged([cache.descriptor], { bundles: [named(cache)], objects: 1 })
    const { bytes } = await layout.manifest(shop.digest)
    const liar: ContentSource = {
      resolve: (digest) => layout.resolve(digest),
      manifest: async (digest) =>
        digest === cache.descriptor.digest ? { descriptor: { ...shop, digest }, bytes } : layout.manifest(digest),
      blob: (blob) => layout.blob(blob),
      referrers: (digest) => layout.referrers(digest),
    }
    await expect(readBundle(liar, shop)).rejects.toMatchObject({ code: 'DataDamaged' })
  })

  it('refuses an index of 100,000 manifests, and JSON that is nested without end, within bounds', async () => {
    const entry = `{"mediaType":"${mediaTypes.imageManifest}","digest":"${image.digest}","size":1},`
    const huge = new TextEncoder().encode(
      `{"schemaVersion":2,"mediaType":"${mediaTypes.imageIndex}","artifactType":"${bundleTypes.bundle}","manifests":[${entry.repeat(100_000).slice(0, -1)}]}`,
    )
    const source: ContentSource = {
      resolve: async () => undefined,
      manifest: async (digest) => ({ descriptor: { mediaType: mediaTypes.imageIndex, digest, size: huge.length }, bytes: huge }),
      blob: (blob) => layout.blob(blob),
      referrers: async () => [],
    }
    await expect(readBundle(source, digestOf(huge))).rejects.toMatchObject({ code: 'TooLarge' })
    const deep = JSON.parse(`${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`) as object
    const chart = {
      component: 'app',
      name: 'a',
      version: '1',
      release: 'a',
      namespace: 'a',
      kubeVersion: '1',
      parameters: [],
      schemaFrom: 'values.yaml',
    }
    await expect(readBundle(layout, await forged([], { charts: [{ ...chart, schema: deep }] }))).rejects.toMatchObject({
      code: 'FormatInvalid',
    })
  })
})
