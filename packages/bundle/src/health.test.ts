import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Layout } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeBundle } from './make.ts'
import { readBundle } from './read.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-bundle-health-'))
})
afterEach(() => rm(dir, { recursive: true }))

/** Makes a bundle with these lines in its bundle.yaml. */
async function make(name: string, lines: string) {
  await mkdir(join(dir, name, 'manifests'), { recursive: true })
  await writeFile(join(dir, name, 'manifests', 'config.yaml'), `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`)
  await writeFile(
    join(dir, name, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: ${name}\nversion: 1.0.0\ncomponents: [{name: app, manifests: [manifests]}]\n${lines}`,
  )
  const target = await Layout.open(join(dir, 'target'), { create: true })
  const nobody = async (): Promise<never> => {
    throw new Error('not to be called')
  }
  const { descriptor } = await makeBundle({ sourceDir: join(dir, name), target, images: async () => undefined, renderKustomize: nobody })
  return { digest: descriptor.digest, read: await readBundle(target, descriptor) }
}

const cache = '{apiGroup: example.test, kind: Cache, healthy: object.status.ok, message: object.status.why}'

describe('health rules of a bundle', { timeout: 60_000 }, () => {
  it('are carried, and those of included bundles where it has none of its own', async () => {
    const { read, digest } = await make('inner', `health: [${cache}, {apiGroup: other.test, kind: Cache, healthy: object.ok}]\n`)
    expect(read.health[0]).toEqual({ apiGroup: 'example.test', kind: 'Cache', healthy: 'object.status.ok', message: 'object.status.why' })
    const outer = await make(
      'outer',
      `bundles: [{name: inner, digest: "${digest}", layout: ../target}]\nhealth: [{apiGroup: example.test, kind: Cache, healthy: 'false'}]\n`,
    )
    expect(outer.read.health.map(({ apiGroup, healthy }) => [apiGroup, healthy])).toEqual([
      ['example.test', 'false'],
      ['other.test', 'object.ok'],
    ])
  })

  it.each([
    ['no CEL', "[{kind: Cache, healthy: 'object.status.ok =='}]", 'no expression in CEL'],
    ['what is neither true nor false', "[{kind: Cache, healthy: '1 + 1'}]", 'it gives a int'],
    ['what is not given', "[{kind: Cache, healthy: 'predicate.ok'}]", 'no expression in CEL'],
    ['a message that is no text', "[{kind: Cache, healthy: 'true', message: '1'}]", 'not a text'],
    ['two rules for one kind', `[${cache}, ${cache}]`, 'two rules for one kind'],
    ['an unknown field', '[{kind: Cache, healty: object.ok}]', 'healty'],
  ])('are refused with %s', async (_what, rules, why) => {
    await expect(make('shop', `health: ${rules}\n`)).rejects.toMatchObject({ code: 'SourceInvalid', message: expect.stringContaining(why) })
  })
})
