import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readBundle } from '@muster/bundle'
import { Layout, pushArtifact, pushReferrer, Registry, type RegistryServer, serveRegistry } from '@muster/oci'
import { generateKeyPair, signatureKeyFromPem, sigstoreBundleMediaType, verifyArtifact } from '@muster/trust'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type PublishBundleOptions, prepareBundle, publishBundle, pushBundle } from './bundle.ts'
import { publishImage } from './image.ts'

// Against a real registry: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const user = { name: 'writer', password: 'w', access: 'write' as const }
const reader = { name: 'reader', password: 'r', access: 'read' as const }

/** A real registry on loopback, which remembers what was asked of it. */
class TestRegistry {
  readonly server: RegistryServer
  readonly client: Registry
  readonly requests: { method: string; path: string }[]

  private constructor(server: RegistryServer, requests: { method: string; path: string }[]) {
    this.server = server
    this.client = new Registry({
      host: `127.0.0.1:${server.port}`,
      plainHttp: true,
      credentials: { username: user.name, password: user.password },
    })
    this.requests = requests
  }

  static async start(root: string): Promise<TestRegistry> {
    const requests: { method: string; path: string }[] = []
    const logger = { info: (fields: object) => requests.push(fields as { method: string; path: string }), error: () => {} }
    return new TestRegistry(await serveRegistry({ root, listen: { host: '127.0.0.1', port: 0 }, users: [user, reader], logger }), requests)
  }

  writes(): string[] {
    return this.requests.filter(({ method }) => method !== 'GET' && method !== 'HEAD').map(({ method, path }) => `${method} ${path}`)
  }

  async stop(): Promise<void> {
    this.client.close()
    await this.server.close()
  }
}

let dir = ''
let registry: TestRegistry
const started: TestRegistry[] = []
const start = async (name: string) => {
  const server = await TestRegistry.start(join(dir, name))
  started.push(server)
  return server
}
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-publish-'))
  registry = await start('registry')
  await write('shop/bundle.yaml', bundleYaml('1.0.0', '{match: "*/app", build: image.yaml}'))
  await write('shop/image.yaml', 'binary: {path: app, to: /app}\n')
  await writeFile(join(dir, 'shop', 'app'), tinyProgram())
  await write('shop/pod.yaml', podYaml('registry.example/team/app:1.0'))
})
afterEach(async () => {
  for (const server of started.splice(0)) await server.stop()
  await rm(dir, { recursive: true })
})

const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}
const bundleYaml = (version: string, ...images: string[]) =>
  `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: ${version}\ncomponents: [{name: app, manifests: [pod.yaml]}]\nimages: [${images.join(', ')}]\n`
const podYaml = (...images: string[]) =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n${images.map((image, at) => `  - {name: c${at}, image: "${image}"}\n`).join('')}`

/** The head of a static ELF program of this machine; it is never run. */
function tinyProgram(): Buffer {
  const head = Buffer.alloc(64)
  head.write('\x7fELF\x02\x01\x01', 'latin1')
  head.writeUInt16LE(2, 16)
  head.writeUInt16LE(process.arch === 'arm64' ? 183 : 62, 18)
  return head
}

const keys = generateKeyPair()
const others = generateKeyPair()
const trusted = { publishers: [{ name: 'team', publicKey: keys.publicKey }] }
const options = (more: Partial<PublishBundleOptions> = {}): PublishBundleOptions => ({
  sourceDir: join(dir, 'shop'),
  registry: registry.client,
  workDir: join(dir, 'work'),
  cacheDir: join(dir, 'cache'),
  env: process.env,
  signer: signatureKeyFromPem(keys.privateKey),
  kustomize: async () => '',
  ...more,
})
const signatures = async (repository: string, digest: string, from = registry) =>
  (await from.client.repository(repository).referrers(digest, { artifactType: sigstoreBundleMediaType })).map((entry) => entry.digest)

describe('publishing a bundle', () => {
  it('says that the registry is away before anything is built', async () => {
    const steps: string[] = []
    await registry.server.close()
    await expect(publishBundle(options({ onProgress: (step) => steps.push(step) }))).rejects.toMatchObject({ code: 'Unreachable' })
    expect(steps).toEqual(['make bundle shop 1.0.0'])
  })

  it('brings it, its images and all signatures to where they are looked for', async () => {
    const steps: string[] = []
    const published = await publishBundle(options({ onProgress: (step) => steps.push(step) }))
    expect(published).toMatchObject({ repository: 'bundles/shop', version: '1.0.0', tag: '1.0.0', changed: true })

    const bundles = registry.client.repository('bundles/shop')
    const descriptor = await bundles.resolve('1.0.0')
    expect(descriptor).toMatchObject({ digest: published.digest, size: published.size })
    await expect(verifyArtifact(bundles, { ...published, mediaType: '' }, trusted)).resolves.toEqual({ signedBy: ['team'] })
    const read = await readBundle(bundles, published.digest)
    expect(read.images).toHaveLength(1)

    const [image] = published.images
    expect(image).toMatchObject({
      name: 'registry.example/team/app:1.0',
      repository: 'mirror/registry.example/team/app',
      tag: '1.0',
      changed: true,
    })
    expect(image?.digest).toBe(read.images[0]?.descriptor.digest)
    const mirror = registry.client.repository('mirror/registry.example/team/app')
    expect(await mirror.resolve('1.0')).toMatchObject({ digest: image?.digest })
    for (const place of [mirror, bundles]) {
      await expect(
        verifyArtifact(place, { ...read.images[0]?.descriptor, digest: image?.digest ?? '', mediaType: '', size: 0 }, trusted),
      ).resolves.toEqual({
        signedBy: ['team'],
      })
    }
    expect(steps).toEqual(expect.arrayContaining(['make bundle shop 1.0.0', 'sign bundle shop 1.0.0', 'push bundle shop 1.0.0']))
  })

  it('again writes nothing and adds no signature', async () => {
    const first = await publishBundle(options())
    const before = registry.writes().length
    const second = await publishBundle(options())
    expect(second).toEqual({ ...first, changed: false, images: first.images.map((image) => ({ ...image, changed: false })) })
    expect(registry.writes().slice(before)).toEqual([])
    expect(await signatures('bundles/shop', first.digest)).toHaveLength(1)
  })

  it('from another machine with the same key keeps the signatures that are there', async () => {
    const first = await publishBundle(options())
    const second = await publishBundle(options({ workDir: join(dir, 'other-work'), cacheDir: join(dir, 'other-cache') }))
    expect(second).toMatchObject({ digest: first.digest, changed: false })
    expect(await signatures('bundles/shop', first.digest)).toHaveLength(1)
    const [image] = first.images
    expect(await signatures('mirror/registry.example/team/app', image?.digest ?? '')).toHaveLength(1)
  })

  it('to a second registry brings the same bytes and the same signatures', async () => {
    const first = await publishBundle(options())
    const second = await start('second')
    expect(await publishBundle(options({ registry: second.client }))).toMatchObject({ digest: first.digest, changed: true })
    expect(await signatures('bundles/shop', first.digest, second)).toEqual(await signatures('bundles/shop', first.digest))
  })

  it('with another key adds its signature and leaves the other', async () => {
    const first = await publishBundle(options())
    expect(await publishBundle(options({ signer: signatureKeyFromPem(others.privateKey) }))).toMatchObject({
      digest: first.digest,
      changed: true,
    })
    expect(await signatures('bundles/shop', first.digest)).toHaveLength(2)
  })

  it('without a key signs nothing', async () => {
    const { digest } = await publishBundle({ ...options(), signer: undefined })
    expect(await signatures('bundles/shop', digest)).toEqual([])
  })

  it('that changed under the same version moves the tag and says what it was; the old one stays by digest', async () => {
    const first = await publishBundle(options())
    await write('shop/pod.yaml', podYaml('registry.example/team/app:1.0', 'registry.example/team/app:1.0'))
    const second = await publishBundle(options())
    expect(second).toMatchObject({ changed: true, previous: first.digest })
    const bundles = registry.client.repository('bundles/shop')
    expect(await bundles.resolve('1.0.0')).toMatchObject({ digest: second.digest })
    await expect(readBundle(bundles, first.digest)).resolves.toMatchObject({ descriptor: { digest: first.digest } })
  })

  it('sends each blob once: mirrors take theirs over inside the registry', async () => {
    await publishBundle(options())
    expect(registry.writes().filter((line) => /^(PUT|PATCH) .*\/mirror\/.*\/blobs\//.test(line))).toEqual([])
  })

  it('sets the tag last: who is refused on the way leaves none', async () => {
    const prepared = await prepareBundle(options())
    const client = new Registry({
      host: registry.client.host,
      plainHttp: true,
      credentials: { username: reader.name, password: reader.password },
    })
    await expect(pushBundle(prepared, client)).rejects.toMatchObject({ code: 'Denied' })
    client.close()
    const puts = () => registry.writes().filter((line) => line.startsWith('PUT') && line.includes('/manifests/'))
    await pushBundle(prepared, registry.client)
    expect(puts().at(-1)).toBe('PUT /v2/bundles/shop/manifests/1.0.0')
  })

  it('can be prepared without a registry: all of it, signed, is in the layout', async () => {
    const { layout, descriptor, config } = await prepareBundle({ ...options(), registry: undefined })
    await expect(verifyArtifact(layout, descriptor, trusted)).resolves.toEqual({ signedBy: ['team'] })
    const [image] = config.images
    await expect(verifyArtifact(layout, { digest: '', mediaType: '', size: 0, ...image }, trusted)).resolves.toEqual({ signedBy: ['team'] })
    expect(registry.requests).toEqual([])
  })

  it('stops on abort with the reason of the signal', async () => {
    await expect(publishBundle(options({ signal: AbortSignal.abort(new Error('enough')) }))).rejects.toThrow('enough')
  })

  it('takes images from a layout, with what refers to them, and from a registry', async () => {
    const layout = await Layout.open(join(dir, 'shop', 'images'), { create: true })
    const part = (text: string) => ({ mediaType: 'application/x-test', bytes: new TextEncoder().encode(text) })
    const one = await pushArtifact(layout, { artifactType: 'application/x-test', layers: [part('one')] }, { tag: 'registry.example/one:1' })
    await pushReferrer(layout, one, { artifactType: 'application/x-sbom', layers: [part('sbom')] })
    const remote = registry.client.repository('upstream/two')
    const two = await pushArtifact(remote, { artifactType: 'application/x-test', layers: [part('two')] }, { tag: '2' })
    await write('shop/pod.yaml', podYaml('registry.example/one:1', `registry.example/two@${two.digest}`, `${registry.client.host}/own:3`))
    const reference = `reference: "${registry.client.host}/upstream/two:2"`
    await write(
      'shop/bundle.yaml',
      bundleYaml(
        '1.0.0',
        '{match: registry.example/one, layout: images}',
        `{match: registry.example/two, ${reference}}`,
        `{match: "*/own", ${reference}}`,
      ),
    )
    const { images } = await publishBundle(options())
    expect(images.map(({ repository, tag, digest }) => [repository, tag, digest])).toEqual([
      ['own', '3', two.digest],
      ['mirror/registry.example/one', '1', one.digest],
      ['mirror/registry.example/two', 'latest', two.digest],
    ])
    const sboms = await registry.client
      .repository('mirror/registry.example/one')
      .referrers(one.digest, { artifactType: 'application/x-sbom' })
    expect(sboms).toHaveLength(1)
  })

  it('that includes another one brings the images of both to where nodes look for them', async () => {
    const inner = await publishBundle(options())
    await write('outer/config.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: outer}\n')
    await write(
      'outer/bundle.yaml',
      `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: outer\nversion: 1.0.0\ncomponents: [{name: app, manifests: [config.yaml]}]\nbundles: [{name: shop, digest: "${inner.digest}", reference: bundles/shop}]\n`,
    )
    const second = await start('second')
    const outer = await publishBundle(options({ sourceDir: join(dir, 'outer'), workDir: join(dir, 'outer-work') }))
    expect(outer.images.map(({ name }) => name)).toEqual(inner.images.map(({ name }) => name))
    // Elsewhere, from what is on this machine: signatures of the included bundle go along.
    await pushBundle(await prepareBundle(options({ sourceDir: join(dir, 'outer') })), second.client)
    const there = second.client.repository('bundles/outer')
    expect((await readBundle(there, outer.digest)).objects.map(({ metadata: { name } }) => name)).toEqual(['web', 'outer'])
    expect(await there.referrers(inner.digest)).toHaveLength(1)
  })

  it('refuses an image that its source does not have, by name', async () => {
    await Layout.open(join(dir, 'shop', 'images'), { create: true })
    await write('shop/bundle.yaml', bundleYaml('1.0.0', '{match: "*/app", layout: images}'))
    await expect(publishBundle(options())).rejects.toMatchObject({
      code: 'ImageUnresolved',
      message: expect.stringContaining('registry.example/team/app:1.0 (Pod web in pod.yaml'),
    })
    expect(registry.writes()).toEqual([])
  })

  it('has the version that who publishes it says, and its own stays as it is', async () => {
    await publishBundle(options())
    const next = await publishBundle({ ...options(), version: '1.1.0' })
    expect(next).toMatchObject({ version: '1.1.0', tag: '1.1.0', changed: true })
    expect(await publishBundle(options())).toMatchObject({ version: '1.0.0', changed: false })
  })

  it('writes a version with build metadata as a tag that registries take', async () => {
    await write('shop/bundle.yaml', bundleYaml('1.0.0+a.1', '{match: "*/app", build: image.yaml}'))
    expect(await publishBundle(options())).toMatchObject({ version: '1.0.0+a.1', tag: '1.0.0_a.1' })
  })

  it('keeps the private key out of what it writes', async () => {
    await publishBundle(options())
    const secret = keys.privateKey.split('\n')[1] ?? ''
    expect(secret).not.toBe('')
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) expect(await readFile(join(entry.parentPath, entry.name), 'latin1')).not.toContain(secret)
    }
  })
})

describe('publishing an image', () => {
  const name = 'registry.example/agent:1'
  const build = async () => {
    const layout = await Layout.open(join(dir, 'images'), { create: true })
    await pushArtifact(layout, { artifactType: 'application/x-test', layers: [] }, { tag: name })
    return layout
  }

  it('signs it and brings it to where nodes look for its name; again, nothing is written', async () => {
    const layout = await build()
    const published = await publishImage({ layout, image: name, registry: registry.client, signer: signatureKeyFromPem(keys.privateKey) })
    expect(published).toMatchObject({
      name,
      repository: 'mirror/registry.example/agent',
      tag: '1',
      reference: `${name}@${published.digest}`,
      changed: true,
    })
    const repository = registry.client.repository(published.repository)
    await expect(verifyArtifact(repository, { ...published, mediaType: '' }, trusted)).resolves.toEqual({ signedBy: ['team'] })
    const before = registry.writes().length
    expect(await publishImage({ layout, image: name, registry: registry.client, signer: signatureKeyFromPem(keys.privateKey) })).toEqual({
      ...published,
      changed: false,
    })
    expect(registry.writes()).toHaveLength(before)
  })

  it('may give it another name', async () => {
    const layout = await build()
    const published = await publishImage({ layout, image: name, name: 'registry.example/other:2', registry: registry.client })
    expect(published).toMatchObject({ repository: 'mirror/registry.example/other', tag: '2' })
  })

  it('that is not there is refused', async () => {
    const layout = await build()
    await expect(publishImage({ layout, image: 'registry.example/none:1', registry: registry.client })).rejects.toMatchObject({
      code: 'ImageMissing',
    })
  })
})
