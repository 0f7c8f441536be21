import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { BundleError } from './errors.ts'
import { loadSource, matchesImage, parseSource } from './source.ts'

// Thousands of generated cases: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const head = 'apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.2.3\n'
const good = `${head}components:\n- name: app\n  manifests: [app.yaml]\n`
const parse = (text: string) => parseSource(text, '/src/bundle.yaml')

describe('bundle.yaml', () => {
  it('is read', () => {
    const text = `${head}description: A shop\ncomponents:\n- {name: app, manifests: [app.yaml, more]}\n- {name: db, kustomize: ../db}\nimages:\n- {match: "*/shop", build: image.yaml}\n- {match: example.test/db, reference: "example.test/db:1"}\n`
    expect(parse(text)).toEqual({
      file: '/src/bundle.yaml',
      dir: '/src',
      name: 'shop',
      version: '1.2.3',
      description: 'A shop',
      components: [
        { name: 'app', manifests: ['app.yaml', 'more'] },
        { name: 'db', kustomize: '../db' },
      ],
      bundles: [],
      imageFields: [],
      health: [],
      parameters: [],
      images: [
        { match: '*/shop', origin: { build: '/src/image.yaml' }, position: '/src/bundle.yaml:10:3' },
        { match: 'example.test/db', origin: { reference: 'example.test/db:1' }, position: '/src/bundle.yaml:11:3' },
      ],
    })
  })

  it('may take its manifests from a Go module', () => {
    const sum = `h1:${'a'.repeat(43)}=`
    expect(parse(`${good}source: {goModule: example.test/shop@v1.0.0, sum: "${sum}"}\n`).module).toEqual({
      goModule: 'example.test/shop@v1.0.0',
      sum,
    })
  })

  it.each([
    ['an unknown key', `${good}imagse: []\n`, '/src/bundle.yaml:8:1'],
    ['a version that is a number', good.replace('1.2.3', '1.2'), '/src/bundle.yaml:4:1: version'],
    ['a version that is none', good.replace('1.2.3', 'latest'), '/src/bundle.yaml:4:1: version: must be a version'],
    ['a name that is none', good.replace('shop', 'My_Shop'), '/src/bundle.yaml:3:1: name'],
    ['no components', head, 'components'],
    [
      'a component with both',
      good.replace('[app.yaml]', '[app.yaml]\n  kustomize: x'),
      '/src/bundle.yaml:6:3: components.0: needs exactly one',
    ],
    ['two components of one name', `${good}- {name: app, kustomize: x}\n`, '/src/bundle.yaml:8:4: two components are named app'],
    ['an absolute path', good.replace('app.yaml', '/etc/app.yaml'), '/src/bundle.yaml:7:15'],
    ['an image without source', `${good}images: [{match: "*"}]\n`, '/src/bundle.yaml:8:10: images.0: needs exactly one of build'],
    ['a match with a tag and spaces', `${good}images: [{match: "a b", build: x}]\n`, 'images.0.match'],
    ['a module without version', `${good}source: {goModule: example.test/shop}\n`, 'source.goModule'],
    [
      'a path that leaves the module',
      `${head}source: {goModule: example.test/shop@v1.0.0}\ncomponents: [{name: a, kustomize: ../x}]\n`,
      'must not contain ".."',
    ],
    ['another kind', good.replace('BundleSource', 'Bundle'), '/src/bundle.yaml:2:1: kind'],
    ['bad YAML', `${good}  - x`, '/src/bundle.yaml:'],
    ['two documents', `${good}---\n${good}`, 'one document'],
    ['nothing', '', 'is empty'],
  ])('with %s is refused at its place', (_what, text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'SourceInvalid' }))
    expect(() => parse(text)).toThrow(message)
  })

  it('that is not there is named', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'muster-source-'))
    await expect(loadSource(dir)).rejects.toMatchObject({
      code: 'SourceInvalid',
      message: expect.stringContaining(join(dir, 'bundle.yaml')),
    })
    await rm(dir, { recursive: true })
  })

  it('takes another version from who makes the bundle, if it is one', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'muster-source-'))
    await writeFile(join(dir, 'bundle.yaml'), good)
    expect(await loadSource(dir, '1.3.0-rc.1')).toEqual({ ...(await loadSource(dir)), version: '1.3.0-rc.1' })
    await expect(loadSource(dir, 'latest')).rejects.toMatchObject({
      code: 'SourceInvalid',
      message: expect.stringContaining('"latest" is no version'),
    })
    await rm(dir, { recursive: true })
  })

  it('is read or refused, whatever it holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(() =>
          parse(JSON.stringify({ apiVersion: 'muster.dev/v1alpha1', kind: 'BundleSource', components: value, images: value })),
        ).toThrow(BundleError)
      }),
    )
  })
})

describe('match', () => {
  it.each([
    ['example.test/app', 'example.test/app', true],
    ['example.test/app', 'example.test/app2', false],
    ['*/app', 'example.test/team/app', true],
    ['*/app', 'app', false],
    ['*', 'anything/at/all', true],
    ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'abXc', true],
    ['a*bc*c', 'abc', false],
    ['ab*ba', 'aba', false],
  ])('%s on %s is %s', (match, name, expected) => {
    expect(matchesImage(match, name)).toBe(expected)
  })
})
