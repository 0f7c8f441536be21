import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ContentSource, type Descriptor, digestOf, Layout, mediaTypes, pushArtifact } from '@muster/oci'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { writeBundle } from './content.ts'
import { BundleError } from './errors.ts'
import { annotations, bundleTypes } from './format.ts'
import type { KubeObjectLike } from './object.ts'
import { readBundle } from './read.ts'
import { writeUstar } from './ustar.ts'

// Thousands of generated cases: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

let dir = ''
let layout: Layout
let image: Descriptor
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-read-'))
  layout = await Layout.open(dir, { create: true })
  image = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] })
})
afterEach(() => rm(dir, { recursive: true }))

const name = 'registry.example/app:1'
const pod = (text: string): KubeObjectLike => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web' },
  spec: { containers: [{ name: 'c', image: text }] },
})
const carried = () => ({ name, digest: image.digest, mediaType: image.mediaType, size: image.size })
const good = () =>
  writeBundle(layout, {
    name: 'shop',
    version: '1.0.0',
    components: [{ name: 'app', objects: [pod(`${name}@${image.digest}`)] }],
    images: [carried()],
  })

const encode = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))

/** A bundle put together by somebody else, with parts exchanged. */
async function forge(
  parts: { config?: object; files?: { path: string; content: Uint8Array }[]; index?: object; layers?: object } = {},
): Promise<string> {
  const archive = writeUstar(parts.files ?? [{ path: '1.yaml', content: encode({ ...pod(`${name}@${image.digest}`) }) }])
  const bundleJson = {
    name: 'shop',
    version: '1.0.0',
    images: [carried()],
    components: [{ name: 'app', digest: digestOf(archive), objects: 1 }],
    objects: 1,
    ...parts.config,
  }
  const content = await pushArtifact(layout, {
    artifactType: bundleTypes.content,
    config: { mediaType: bundleTypes.config, bytes: encode(bundleJson) },
    layers: [{ mediaType: bundleTypes.manifests, bytes: archive, annotations: { [annotations.component]: 'app' }, ...parts.layers }],
  })
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.imageIndex,
    artifactType: bundleTypes.bundle,
    manifests: [
      { ...content, artifactType: bundleTypes.content },
      { mediaType: image.mediaType, digest: image.digest, size: image.size, annotations: { [annotations.imageName]: name } },
    ],
    annotations: { [annotations.title]: 'shop', [annotations.version]: '1.0.0' },
    ...parts.index,
  }
  return (await layout.putManifest(encode(index), mediaTypes.imageIndex)).digest
}

describe('reading a bundle', () => {
  it('gives its objects and images', async () => {
    const { descriptor } = await good()
    const read = await readBundle(layout, descriptor)
    expect(read.objects).toEqual([pod(`${name}@${image.digest}`)])
    expect(read.images).toEqual([{ name, descriptor: { mediaType: image.mediaType, digest: image.digest, size: image.size } }])
    expect(await readBundle(layout, descriptor.digest)).toEqual(read)
    await expect(readBundle(layout, await forge())).resolves.toMatchObject({ config: { name: 'shop' } })
  })

  it('that is not there says so, as its source does', async () => {
    await expect(readBundle(layout, `sha256:${'0'.repeat(64)}`)).rejects.toMatchObject({ name: 'OciError', code: 'NotFound' })
  })

  it('refuses any changed byte, wherever it is', async () => {
    const { descriptor } = await good()
    const blobs = join(dir, 'blobs', 'sha256')
    for (const file of await readdir(blobs)) {
      const whole = await readFile(join(blobs, file))
      if (`sha256:${file}` === image.digest || whole.toString() === '{}') continue
      for (const at of [0, Math.floor(whole.length / 2), whole.length - 1]) {
        const changed = Buffer.from(whole)
        changed[at] = (changed[at] ?? 0) ^ 1
        await writeFile(join(blobs, file), changed)
        await expect(readBundle(layout, descriptor)).rejects.toMatchObject({ name: 'BundleError', code: 'DataDamaged' })
      }
      await writeFile(join(blobs, file), whole.subarray(0, -1))
      await expect(readBundle(layout, descriptor)).rejects.toMatchObject({ name: 'BundleError', code: 'DataDamaged' })
      await writeFile(join(blobs, file), whole)
    }
    await expect(readBundle(layout, descriptor)).resolves.toBeDefined()
  })

  it('does not trust a source that verifies nothing', async () => {
    const { descriptor } = await good()
    const liar: ContentSource = {
      resolve: (digest) => layout.resolve(digest),
      manifest: async (digest) => ({
        descriptor,
        bytes: (await layout.manifest(digest)).bytes.map((byte, at) => (at === 40 ? byte ^ 1 : byte)),
      }),
      blob: (blob) => layout.blob(blob),
      referrers: (digest) => layout.referrers(digest),
    }
    await expect(readBundle(liar, descriptor)).rejects.toMatchObject({ code: 'DataDamaged' })
  })

  it('refuses sizes past the bounds before anything is read', async () => {
    const { descriptor } = await good()
    await expect(readBundle(layout, { ...descriptor, size: 5 * 1024 * 1024 })).rejects.toMatchObject({ code: 'TooLarge' })
    await expect(readBundle(layout, { ...descriptor, size: descriptor.size + 1 })).rejects.toMatchObject({ code: 'DataDamaged' })
  })

  it('refuses an image index, or any other artifact', async () => {
    await expect(readBundle(layout, image)).rejects.toMatchObject({ code: 'FormatInvalid' })
    await expect(readBundle(layout, 'latest')).rejects.toMatchObject({ code: 'FormatInvalid' })
  })

  it.each<[string, string, Parameters<typeof forge>[0]]>([
    ['another type', 'FormatInvalid', { index: { artifactType: 'application/x' } }],
    ['no content', 'FormatInvalid', { index: { manifests: [] } }],
    [
      'another name in the index',
      'FormatInvalid',
      { index: { annotations: { [annotations.title]: 'other', [annotations.version]: '1.0.0' } } },
    ],
    [
      'another version in the index',
      'FormatInvalid',
      { index: { annotations: { [annotations.title]: 'shop', [annotations.version]: '9.0.0' } } },
    ],
    ['a name that is none', 'FormatInvalid', { config: { name: '../x' } }],
    ['no images in bundle.json', 'FormatInvalid', { config: { images: [] } }],
    ['another number of objects', 'FormatInvalid', { config: { objects: 2 } }],
    ['another layer', 'FormatInvalid', { config: { components: [{ name: 'app', digest: `sha256:${'0'.repeat(64)}`, objects: 1 }] } }],
    ['a layer of another type', 'FormatInvalid', { layers: { mediaType: 'application/x' } }],
    ['two objects in one file', 'FormatInvalid', { files: [{ path: '1.yaml', content: encode('a: 1\n---\nb: 1\n') }] }],
    ['an empty file', 'FormatInvalid', { files: [{ path: '1.yaml', content: encode('') }] }],
    ['bytes that are no text', 'FormatInvalid', { files: [{ path: '1.yaml', content: new Uint8Array([0xff, 0xfe]) }] }],
    ['aliases', 'ManifestInvalid', { files: [{ path: '1.yaml', content: encode('a: &a [1]\nb: *a\n') }] }],
    ['something that is no object', 'ManifestInvalid', { files: [{ path: '1.yaml', content: encode('a: 1\n') }] }],
    ['an image without digest', 'FormatInvalid', { files: [{ path: '1.yaml', content: encode(pod(name)) }] }],
    [
      'an image that it does not carry',
      'FormatInvalid',
      { files: [{ path: '1.yaml', content: encode(pod(`${name}@sha256:${'1'.repeat(64)}`)) }] },
    ],
    ['an object that is too large', 'TooLarge', { files: [{ path: '1.yaml', content: new Uint8Array(4 * 1024 * 1024).fill(0x61) }] }],
  ])('refuses one with %s', async (_what, code, parts) => {
    await expect(readBundle(layout, await forge(parts))).rejects.toMatchObject({ name: 'BundleError', code })
  })

  it('refuses an object that is there twice', async () => {
    const file = encode(pod(`${name}@${image.digest}`))
    const files = [
      { path: '1.yaml', content: file },
      { path: '2.yaml', content: file },
    ]
    const components = [{ name: 'app', digest: digestOf(writeUstar(files)), objects: 2 }]
    await expect(readBundle(layout, await forge({ files, config: { components, objects: 2 } }))).rejects.toMatchObject({
      code: 'DuplicateObject',
    })
  })

  it('reads or refuses, whatever a signed index, config or archive holds', async () => {
    const part = fc.oneof(
      fc.record({
        config: fc.dictionary(
          fc.constantFrom('name', 'images', 'components', 'objects', 'bundles', 'charts', 'hooks', 'leftOut', 'imageFields', 'health'),
          fc.oneof(
            fc.jsonValue(),
            // Entries that are nearly right get further in.
            fc.array(
              fc.record(
                {
                  component: fc.constantFrom('app', ''),
                  name: fc.constantFrom('shop', 'a', '../x'),
                  version: fc.constantFrom('1.0.0', ''),
                  digest: fc.constantFrom(`sha256:${'0'.repeat(64)}`, 'sha256:0'),
                  size: fc.integer({ min: -1, max: 3 }),
                  objects: fc.integer({ min: -1, max: 3 }),
                  kind: fc.constantFrom('Pod', ''),
                  path: fc.constantFrom('spec.image', '[*', 'spec["a.b"][*]', '__proto__.x', 'constructor'),
                },
                { requiredKeys: [] },
              ),
              { maxLength: 3 },
            ),
          ),
        ),
      }),
      fc.record({
        files: fc.array(fc.record({ path: fc.constantFrom('1.yaml', '2.yaml'), content: fc.uint8Array({ maxLength: 200 }) }), {
          maxLength: 3,
        }),
      }),
    )
    await fc.assert(
      fc.asyncProperty(part, async (parts) => {
        const outcome: unknown = await readBundle(layout, await forge(parts)).catch((error: unknown) => error)
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(BundleError)
      }),
      { numRuns: 200 },
    )
  })
})
