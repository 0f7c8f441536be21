import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Descriptor, Layout, mediaTypes, pushArtifact } from '@muster/oci'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BundleError } from '../errors.ts'
import { type FindImage, makeBundle } from '../make.ts'
import { readBundle } from '../read.ts'
import { tgzOf } from '../testing.ts'
import { parseLock } from './lock.ts'

let dir = ''
let layout: Layout
let app: Descriptor
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-imgpkg-'))
  layout = await Layout.open(join(dir, 'layout'), { create: true })
  app = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] })
})
afterEach(() => rm(dir, { recursive: true }))

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const pod = 'apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: "app:1.0"}]}\n'
const lock = () =>
  `apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages:\n- image: registry.example/app@${app.digest}\n  annotations: {kbld.carvel.dev/id: "app:1.0"}\n- image: registry.example/tool@${app.digest}\n`
const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}
const source = (component: string) =>
  write(
    'shop/bundle.yaml',
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents: [{name: app, imgpkg: ${component}}]\n`,
  )

/** Finds only what is under a digest in one of these places. */
const inPlaces =
  (...places: string[]): FindImage =>
  async (_name, origins = []) =>
    origins.some((origin) => places.includes(origin)) ? { source: layout, descriptor: app } : undefined

const make = (images: FindImage, findArtifact?: () => Promise<{ source: Layout; descriptor: Descriptor }>) =>
  makeBundle({ sourceDir: join(dir, 'shop'), target: layout, images, renderKustomize: async () => '', findArtifact })

describe('an imgpkg bundle', () => {
  it('in a folder becomes a bundle: what its lock says is pinned and carried, used or not', async () => {
    await source('{dir: pkg}')
    await write('shop/pkg/.imgpkg/images.yml', lock())
    await write('shop/pkg/config/pod.yaml', pod)
    const { descriptor } = await make(inPlaces(`registry.example/app@${app.digest}`, `registry.example/tool@${app.digest}`))
    const { objects, images } = await readBundle(layout, descriptor)
    expect(objects[0]?.['spec']).toMatchObject({ containers: [{ image: `app:1.0@${app.digest}` }] })
    expect(images.map(({ name }) => name)).toEqual(['app:1.0', 'registry.example/tool'])
  })

  it('in a registry too; images are looked for beside it first, where imgpkg copies them', async () => {
    await source('{reference: "registry.example/bundles/pkg:1"}')
    const image = await pushArtifact(layout, {
      artifactType: 'application/x-test',
      config: { mediaType: mediaTypes.imageConfig, bytes: encode({ config: { Labels: { 'dev.carvel.imgpkg.bundle': 'true' } } }) },
      layers: [
        {
          mediaType: mediaTypes.layerTarGzip,
          bytes: tgzOf([
            { path: '.imgpkg/images.yml', content: lock() },
            { path: 'pod.yaml', content: pod },
          ]),
        },
      ],
    })
    const { config } = await make(inPlaces(`registry.example/bundles/pkg@${app.digest}`), async () => ({
      source: layout,
      descriptor: image,
    }))
    expect(config.images).toHaveLength(2)
  })

  it('is refused without its label, without a lock, or with an image that is nowhere', async () => {
    await source('{reference: "registry.example/bundles/pkg:1"}')
    await expect(make(inPlaces(), async () => ({ source: layout, descriptor: app }))).rejects.toMatchObject({ code: 'SourceInvalid' })
    await source('{dir: pkg}')
    await write('shop/pkg/pod.yaml', pod)
    await expect(make(inPlaces())).rejects.toMatchObject({ code: 'SourceInvalid', message: expect.stringContaining('.imgpkg/images.yml') })
    await write('shop/pkg/.imgpkg/images.yml', lock())
    await expect(make(inPlaces())).rejects.toMatchObject({
      code: 'ImageUnresolved',
      message: expect.stringContaining('registry.example/tool'),
    })
  })

  it('has a lock that names digests only, and is read or refused whatever it holds', () => {
    expect(() => parseLock('apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: [{image: "a:1"}]\n', 'images.yml')).toThrow(
      'digest',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.jsonValue().map((images) => JSON.stringify({ apiVersion: 'imgpkg.carvel.dev/v1alpha1', kind: 'ImagesLock', images })),
        ),
        (text) => {
          try {
            parseLock(text, 'images.yml')
          } catch (error) {
            expect(error).toBeInstanceOf(BundleError)
          }
        },
      ),
      { numRuns: 300 },
    )
  })
})
