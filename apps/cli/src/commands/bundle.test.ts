import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Layout, mediaTypes, pushArtifact, type RegistryServer, serveRegistry } from '@muster/oci'
import { createAuthority, issueCertificate } from '@muster/pki'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { contextOf, type Surroundings } from '../context.ts'
import { exitCodeOf } from '../errors.ts'
import { program } from '../program.ts'
import { bundleOf } from './place.ts'

vi.setConfig({ testTimeout: 60_000 })

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-bundle-cli-'))
  const images = await Layout.open(join(dir, 'images'), { create: true })
  const config = { mediaType: mediaTypes.imageConfig, bytes: Buffer.from('{}') }
  await pushArtifact(images, { artifactType: 'application/x-test', config, layers: [] }, { tag: 'registry.example/app:1.0' })
  await pushArtifact(images, { artifactType: 'application/x-other', config, layers: [] }, { tag: 'registry.example/app:1.1' })
})
afterEach(() => rm(dir, { recursive: true }))

/** The instance's registry, as `muster up` leaves it to the command line. */
async function ownRegistry(): Promise<RegistryServer> {
  const now = new Date()
  const authority = await createAuthority('test', { days: 1, now })
  const issued = await issueCertificate(authority, { commonName: 'registry', addresses: ['127.0.0.1'], usages: ['server'], days: 1, now })
  const writer = { username: 'writer', password: 'w' }
  const server = await serveRegistry({
    root: join(dir, 'registry'),
    listen: { host: '127.0.0.1', port: 0 },
    tls: { cert: issued.certificate, key: issued.privateKey },
    users: [{ name: writer.username, password: writer.password, access: 'write' }],
  })
  await mkdir(join(dir, 'state', 'registry'), { recursive: true })
  const access = { host: `127.0.0.1:${server.port}`, ca: authority.certificate, writer, reader: writer }
  await writeFile(join(dir, 'state', 'registry', 'access.json'), JSON.stringify(access))
  return server
}

/** Where no instance is: what is done with folders and files needs none. */
function surroundings(printed = { out: '', err: '' }): Surroundings {
  const into = (stream: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[stream] += String(chunk)
        done()
      },
    })
  return {
    environment: { MUSTER_STATE: join(dir, 'state'), MUSTER_CACHE: join(dir, 'cache'), PATH: '' },
    signal: new AbortController().signal,
    stdout: into('out'),
    stderr: into('err'),
  }
}

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' }
  try {
    await program(surroundings(printed)).parseAsync(['node', 'muster', 'bundle', ...args])
    return { code: 0, ...printed }
  } catch (error) {
    return { code: exitCodeOf(error), out: printed.out, err: printed.err + (error instanceof Error ? error.message : '') }
  }
}

async function source(version: string, extra = ''): Promise<string> {
  const folder = join(dir, `shop-${version}`)
  await mkdir(folder)
  await writeFile(
    join(folder, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: ${version}.0\ncomponents: [{name: app, manifests: [pod.yaml]}]\nimages: [{match: "*/app", layout: ../images}]\n`,
  )
  await writeFile(
    join(folder, 'pod.yaml'),
    `apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: "registry.example/app:${version}"${extra}}]}\n`,
  )
  return folder
}

describe('muster bundle', () => {
  it('creates bundles in a folder, lists, shows and compares them, and moves a channel', async () => {
    const out = `oci:${join(dir, 'out')}`
    const created = await run('create', await source('1.0'), '-o', out)
    expect(created.out).toMatch(/^oci:.*:shop:1\.0\.0\nsha256:[0-9a-f]{64}\n$/)
    expect((await run('create', await source('1.1', ', args: ["--url=https://api.example.test/v1"]'), '-o', out)).code).toBe(0)

    expect((await run('promote', `${out}:shop:1.0.0`, '--to', 'stable')).out).toContain('shop stable is 1.0.0@sha256:')
    expect((await run('list', out)).out).toMatch(/shop +1\.1\.0 +- .*\nshop +1\.0\.0 +stable/)

    const shown = await run('inspect', `${out}:shop:1.1.0`)
    expect(shown.out).toContain('Pod web')
    expect(shown.out).toContain('registry.example/app:1.1   sha256:')
    expect(JSON.parse((await run('inspect', `${out}:shop:stable`, '-o', 'json')).out)).toMatchObject({
      version: '1.0.0',
      objects: [{ kind: 'Pod', name: 'web' }],
      permissions: [],
    })

    const diff = (await run('diff', `${out}:shop:stable`, `${out}:shop:1.1.0`)).out
    expect(diff).toContain('shop 1.0.0 → 1.1.0')
    expect(diff).toContain('~ registry.example/app 1.0 → 1.1')
    expect(diff).toContain('+ Pod web reaches https://api.example.test')

    expect((await run('promote', `${out}:shop:1.1.0`, '--to', 'stable')).out).toContain('it was sha256:')
    expect(JSON.parse((await run('list', out, '-o', 'json')).out)).toMatchObject([
      { version: '1.1.0', channels: ['stable'] },
      { channels: [] },
    ])
  })

  it('renders what a cluster would get, says what made each field, and shows no secret', async () => {
    const folder = await source('1.0')
    const parameters = `parameters:
  - {name: team, schema: {type: string}, set: [{target: {kind: Pod}, path: 'metadata.labels["example.test/team"]'}]}
  - {name: password, schema: {type: string}, secret: true, set: [{target: {kind: Pod}, path: metadata.annotations.password}]}
siteOverlays: {parameters: [team], allow: [{kind: Pod, path: metadata.labels}]}
`
    await appendFile(join(folder, 'bundle.yaml'), parameters)
    const out = `oci:${join(dir, 'out')}`
    expect((await run('create', folder, '-o', out)).err).not.toContain('cannot')
    const { out: inspected } = await run('inspect', out)
    expect(inspected).toMatch(/- +password +string +\(secret, to be given\)/)
    expect(inspected).toMatch(/What a site may change\n {2}parameter team\n {2}Pod +metadata\.labels\n/)
    const file = join(dir, 'placement.yaml')
    const overlay = (labels: string) => `
apiVersion: muster.dev/v1alpha1
kind: Placement
metadata: {name: shop}
spec:
  clusters: {all: true}
  customize:
    - {name: tests, for: {environment: test}, values: {team: testers, password: hunter2}, overlay: {labels: [{pairs: ${labels}}]}}
    - {name: bravo, for: {cluster: bravo}, values: {team: bravo}}
`
    await writeFile(file, overlay('{a: b}'))
    const labels = ['--label', 'muster.dev/environment=test']
    const shown = await run('render', out, '--cluster', 'bravo', '-f', file, ...labels)
    expect(shown.out).toContain('    example.test/team: bravo # parameter team by bravo (cluster)\n')
    expect(shown.out).toContain('    a: b # overlay tests (environment)\n')
    expect(shown.out).toContain('    password: <hidden> # parameter password by tests (environment)\n')
    expect(shown.out).toContain('    muster.dev/release: shop\n')
    expect(shown.out).toContain('  namespace: shop\n')
    const origins = await run('render', out, '--cluster', 'bravo', '-f', file, ...labels, '--origins')
    expect(origins.out).toMatch(/Pod shop\/web +metadata\.labels\.a +overlay tests \(environment\)/)
    const json = await run('render', out, '--cluster', 'bravo', '-f', file, ...labels, '-o', 'json')
    expect(JSON.parse(json.out)).toMatchObject([{ object: { kind: 'Namespace' }, origins: [] }, { object: { kind: 'Pod' } }])
    expect(shown.out + origins.out + json.out).not.toContain('hunter2')
    const missing = await run('render', out, '--cluster', 'alpha', '-f', file)
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining('The parameter team: it has no default and no value was given') })
  })

  it('is not made where a parameter leads nowhere', async () => {
    const folder = await source('1.0')
    await appendFile(
      join(folder, 'bundle.yaml'),
      'parameters: [{name: size, schema: {type: integer}, default: big, set: [{target: {kind: Pod}, path: spec}]}, {name: more, schema: {}, set: [{target: {kind: Job}, path: spec}]}]\n',
    )
    const made = await run('create', folder)
    expect(made.code).toBe(1)
    expect(made.err).toContain('The parameter size: the value that its default gives is refused by its schema: must be integer.')
    expect(made.err).toContain('The parameter more: No object of the bundle that matches the target (kind: Job) has spec.')
  })

  it('makes the same bundle again, and as a file', async () => {
    const folder = await source('1.0')
    const [one, two] = [await run('create', folder), await run('create', folder, '-o', join(dir, 'shop.tar'))]
    const digestOf = (text: string) => text.split('\n')[1]
    expect(digestOf(two.out)).toBe(digestOf(one.out))
    expect((await run('list', join(dir, 'shop.tar'))).out).toContain('1.0.0')
    expect((await run('inspect', join(dir, 'shop.tar'))).out).toContain('shop 1.0.0')
  })

  it("finds the instance's own registry: lists all of it, and places what a channel stands for", async () => {
    const registry = await ownRegistry()
    try {
      for (const version of ['1.0', '1.1'])
        expect((await run('create', await source(version), '-o', 'bundles/shop')).err).not.toContain('muster up')
      await run('promote', 'bundles/shop:1.0.0', '--to', 'stable')
      expect((await run('list')).out).toMatch(/bundles\/shop +1\.1\.0 +-.*\nbundles\/shop +1\.0\.0 +stable/)
      expect((await run('list', 'bundles/shop', '-o', 'json')).out).toBe((await run('list', '-o', 'json')).out)
      expect((await run('inspect', 'bundles/shop:stable')).out).toContain('shop 1.0.0')
      expect((await run('diff', 'bundles/shop:stable', 'bundles/shop:1.1.0')).out).toContain('shop 1.0.0 → 1.1.0')

      const context = contextOf(surroundings(), {})
      const [stable, newer] = [
        await bundleOf(context, 'bundles/shop', 'stable', undefined),
        await bundleOf(context, 'bundles/shop', '1.1.0', undefined),
      ]
      expect(stable).toMatchObject({ repository: 'bundles/shop', version: '1.0.0', digest: expect.stringMatching(/^sha256:/) })
      expect(newer).toMatchObject({ version: '1.1.0' })
      await expect(bundleOf(context, 'bundles/shop', undefined, undefined)).rejects.toThrow('Published are: 1.0.0, 1.1.0')
      await expect(bundleOf(context, 'bundles/shop', 'none', undefined)).rejects.toThrow('no channel')
    } finally {
      await registry.close()
    }
  })

  it.each([
    [['promote', 'oci:x', '--to', 'v1'], 2, /no name of a channel/],
    [['promote', 'oci:x', '--to', '1.0.0'], 2, /no name of a channel/],
    [['promote', 'oci:x'], 2, /--to/],
    [['inspect'], 2, /reference/],
    [['inspect', 'bundles/shop:1.0.0'], 1, /muster up/],
    [['list'], 1, /muster up/],
    [['create', '/nonexistent'], 1, /bundle\.yaml/],
  ])('says of %j what is wrong', async (args, code, sentence) => {
    const outcome = await run(...args)
    expect(outcome.err).toMatch(sentence)
    expect(outcome.code).toBe(code)
  })
})
