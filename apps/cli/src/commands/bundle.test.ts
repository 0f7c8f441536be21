import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Layout, mediaTypes, pushArtifact } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { exitCodeOf } from '../errors.ts'
import { program } from '../program.ts'

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

/** Where no instance is: what is done with folders and files needs none. */
async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const printed = { out: '', err: '' }
  const into = (stream: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[stream] += String(chunk)
        done()
      },
    })
  const surroundings = {
    environment: { MUSTER_STATE: join(dir, 'state'), MUSTER_CACHE: join(dir, 'cache'), PATH: '' },
    signal: new AbortController().signal,
    stdout: into('out'),
    stderr: into('err'),
  }
  try {
    await program(surroundings).parseAsync(['node', 'muster', 'bundle', ...args])
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

  it('makes the same bundle again, and as a file', async () => {
    const folder = await source('1.0')
    const [one, two] = [await run('create', folder), await run('create', folder, '-o', join(dir, 'shop.tar'))]
    const digestOf = (text: string) => text.split('\n')[1]
    expect(digestOf(two.out)).toBe(digestOf(one.out))
    expect((await run('list', join(dir, 'shop.tar'))).out).toContain('1.0.0')
    expect((await run('inspect', join(dir, 'shop.tar'))).out).toContain('shop 1.0.0')
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
