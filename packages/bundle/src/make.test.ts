import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Descriptor, Layout, pushArtifact, pushReferrer } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FindImage, type MakeBundleOptions, makeBundle } from './make.ts'
import { readBundle } from './read.ts'

let dir = ''
let images: Layout
let app: Descriptor
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-bundle-'))
  images = await Layout.open(join(dir, 'images'), { create: true })
  app = await image('app')
})
afterEach(() => rm(dir, { recursive: true }))

const image = (content: string) =>
  pushArtifact(images, {
    artifactType: 'application/x-test',
    layers: [{ mediaType: 'application/x-test', bytes: new TextEncoder().encode(content) }],
  })

const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}
const bundleYaml = (rest = 'images: [{match: "*/app", build: image.yaml}]', components = '[{name: app, manifests: [manifests]}]') =>
  `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents: ${components}\n${rest}\n`
const pod = (name: string, ...named: string[]) =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\nspec:\n  containers:\n${named.map((text, at) => `  - {name: c${at}, image: "${text}"}\n`).join('')}`
const config = (name: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {a: b}\n`

const make = async (source: string, options: Partial<MakeBundleOptions> = {}) => {
  const target = await Layout.open(join(dir, 'target'), { create: true })
  const find: FindImage = async () => ({ source: images, descriptor: app })
  const made = await makeBundle({
    sourceDir: join(dir, source),
    target,
    images: find,
    renderKustomize: async () => {
      throw new Error('not to be called')
    },
    ...options,
  })
  return { ...made, target }
}

describe('a bundle', () => {
  it('holds objects whose images are completed by digest, names kept as written', async () => {
    await write('shop/bundle.yaml', bundleYaml())
    await write('shop/manifests/pod.yaml', pod('web', 'registry.example/app:1.0', 'registry.example/team/app'))
    const { descriptor, config: made, target } = await make('shop')
    const read = await readBundle(target, descriptor)
    expect(read.objects[0]?.['spec']).toEqual({
      containers: [
        { name: 'c0', image: `registry.example/app:1.0@${app.digest}` },
        { name: 'c1', image: `registry.example/team/app@${app.digest}` },
      ],
    })
    expect(read.images.map(({ name }) => name)).toEqual(['registry.example/app:1.0', 'registry.example/team/app'])
    expect(read.config).toEqual(made)
    expect(await target.resolve('shop:1.0.0')).toMatchObject({ digest: descriptor.digest })
  })

  it('carries its images and what refers to them', async () => {
    await pushReferrer(images, app, { artifactType: 'application/x-sbom', layers: [] })
    await write('shop/bundle.yaml', bundleYaml())
    await write('shop/manifests/pod.yaml', pod('web', 'registry.example/app:1.0'))
    const { target } = await make('shop')
    expect(await target.hasManifest(app.digest)).toBe(true)
    expect(await target.referrers(app.digest)).toHaveLength(1)
  })

  it('has one digest, whatever its files are called and in which order documents and keys come', async () => {
    await write('one/bundle.yaml', bundleYaml())
    await write('one/manifests/a.yaml', `${pod('web', 'registry.example/app:1')}---\n${config('one')}`)
    await write('one/manifests/b.yaml', config('two'))
    await write('two/bundle.yaml', `# the same\n${bundleYaml()}`)
    await write(
      'two/manifests/z/x.yaml',
      `kind: ConfigMap\n# a comment\ndata:\n    "a": 'b'\nmetadata: {creationTimestamp: null, name: one}\napiVersion: v1\n`,
    )
    await write(
      'two/manifests/a.json',
      JSON.stringify({ kind: 'ConfigMap', apiVersion: 'v1', data: { a: 'b' }, metadata: { name: 'two' } }),
    )
    await write('two/manifests/y.yaml', pod('web', 'registry.example/app:1'))
    const [one, two, again] = [await make('one'), await make('two'), await make('one')]
    expect(two.descriptor.digest).toBe(one.descriptor.digest)
    expect(again.descriptor.digest).toBe(one.descriptor.digest)
  })

  it('names every image without a source, with object and file', async () => {
    await write('shop/bundle.yaml', bundleYaml('', '[{name: app, manifests: [manifests]}]'))
    await write('shop/manifests/pod.yaml', pod('web', 'registry.example/app:1', `registry.example/db@sha256:${'a'.repeat(64)}`))
    await expect(make('shop', { images: async () => undefined })).rejects.toMatchObject({
      code: 'ImageUnresolved',
      message: expect.stringMatching(
        /registry\.example\/app:1 \(Pod web in manifests\/pod\.yaml, document 1[\s\S]*registry\.example\/db@sha256/,
      ),
    })
  })

  it('takes an image that is written with its digest only from a source that gives that digest', async () => {
    await write('shop/bundle.yaml', bundleYaml())
    await write('shop/manifests/pod.yaml', pod('web', `registry.example/app:1@${app.digest}`))
    const { target, descriptor } = await make('shop')
    expect((await readBundle(target, descriptor)).images).toEqual([
      { name: 'registry.example/app:1', descriptor: { mediaType: app.mediaType, digest: app.digest, size: app.size } },
    ])
    const other = await image('other')
    await expect(make('shop', { images: async () => ({ source: images, descriptor: other }) })).rejects.toMatchObject({
      code: 'ImageUnresolved',
    })
  })

  it('is refused when an entry of images answers for nothing', async () => {
    await write('shop/bundle.yaml', bundleYaml('images: [{match: "*/app", build: a}, {match: "*/ap", build: b}]'))
    await write('shop/manifests/pod.yaml', pod('web', 'registry.example/app:1'))
    await expect(make('shop')).rejects.toMatchObject({ code: 'SourceInvalid', message: expect.stringContaining('*/ap') })
  })

  it('is refused when two components hold the same object', async () => {
    await write('shop/bundle.yaml', bundleYaml('', '[{name: a, manifests: [a.yaml]}, {name: b, manifests: [b.yaml]}]'))
    await write('shop/a.yaml', config('x'))
    await write('shop/b.yaml', config('x'))
    await expect(make('shop')).rejects.toMatchObject({ code: 'DuplicateObject', message: expect.stringMatching(/a\.yaml.*b\.yaml/) })
  })

  it('takes rendered kustomizations', async () => {
    await write('shop/bundle.yaml', bundleYaml('', '[{name: app, kustomize: app}]'))
    await write('shop/app/kustomization.yaml', 'resources: []\n')
    const { config: made } = await make('shop', {
      renderKustomize: async (folder) => (folder === join(dir, 'shop', 'app') ? config('x') : ''),
    })
    expect(made.objects).toBe(1)
    await expect(make('shop', { renderKustomize: async () => '' })).rejects.toMatchObject({
      code: 'ManifestInvalid',
      message: expect.stringContaining('holds no object'),
    })
  })

  it('never renders a kustomization that would fetch something', async () => {
    await write('shop/bundle.yaml', bundleYaml('', '[{name: app, kustomize: app}]'))
    await write('shop/app/kustomization.yaml', 'resources: ["https://example.test/app.yaml"]\n')
    await expect(make('shop')).rejects.toMatchObject({ code: 'RemoteResource' })
  })

  it('takes its manifests from a Go module, and only from the one that is pinned', async () => {
    const sum = (letter: string) => `h1:${letter.repeat(43)}=`
    await write(
      'shop/bundle.yaml',
      bundleYaml(`source: {goModule: example.test/shop@v1.0.0, sum: "${sum('a')}"}`, '[{name: app, manifests: [deploy]}]'),
    )
    await write('module/deploy/config.yaml', config('x'))
    const fetch = (letter: string) => async (goModule: string) => {
      expect(goModule).toBe('example.test/shop@v1.0.0')
      return { dir: join(dir, 'module'), sum: sum(letter) }
    }
    expect((await make('shop', { fetchGoModule: fetch('a') })).config.objects).toBe(1)
    await expect(make('shop', { fetchGoModule: fetch('b') })).rejects.toMatchObject({
      code: 'ModuleUnavailable',
      message: expect.stringContaining('pins'),
    })
    await expect(make('shop')).rejects.toMatchObject({ code: 'ModuleUnavailable' })
  })
})
