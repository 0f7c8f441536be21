import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Layout, pushArtifact } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { canonicalYaml } from './canonical.ts'
import { kustomizeWith } from './kustomize.ts'
import { makeBundle } from './make.ts'
import { parseManifests } from './manifests.ts'
import { goModuleWith } from './module.ts'
import type { KubeObjectLike } from './object.ts'
import { readBundle } from './read.ts'

const render = kustomizeWith([inject('kubectl'), 'kustomize'])
const podinfo = join(import.meta.dirname, '../../../examples/podinfo')

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-kustomize-'))
})
afterEach(() => rm(dir, { recursive: true }))

const write = (name: string, text: string) => writeFile(join(dir, name), text)

describe('the real Kustomize', () => {
  it('renders a folder', async () => {
    await write(
      'kustomization.yaml',
      'namePrefix: my-\nresources: [config.yaml]\nconfigMapGenerator: [{name: made, files: [config.yaml]}]\n',
    )
    await write('config.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n')
    const names = parseManifests(await render(dir), 'rendered').map(({ object }) => object.metadata.name)
    expect(names.sort()).toEqual(['my-a', expect.stringMatching(/^my-made-/)])
  })

  it('says what is wrong', async () => {
    await write('kustomization.yaml', 'resources: [none.yaml]\n')
    await expect(render(dir)).rejects.toMatchObject({ code: 'KustomizeFailed', message: expect.stringContaining('none.yaml') })
  })

  it.each(['https://registry.example/app.yaml', 'https://registry.example/team/app?ref=v1', 'git@registry.example:team/app.git'])(
    'cannot fetch %s even where nothing refused it before',
    async (resource) => {
      await write('kustomization.yaml', `resources: ["${resource}"]\n`)
      await expect(render(dir)).rejects.toMatchObject({
        code: 'KustomizeFailed',
        message: expect.stringMatching(/127\.0\.0\.1:9|no 'git' program/),
      })
    },
  )

  it('reads canonical YAML as it was meant: Go agrees with us on every scalar', async () => {
    const texts = [
      'yes',
      'No',
      'on',
      'y',
      'null',
      '~',
      '',
      '0644',
      '1_000',
      '12:30',
      '2001-01-01',
      '.5',
      '-',
      '---',
      '=',
      '<<',
      '!x',
      '&a',
      '*a',
      '|',
      '1e3',
      '0x1f',
    ]
    const more = [
      'a: b',
      'a #b',
      ' a',
      'a ',
      'a:',
      'a\nb',
      'a\nb\n',
      'a\n\nb\n\n',
      '\n',
      '\n a\n',
      ' a\nb',
      'a\n \nb',
      'a\r\nb',
      '\t',
      'ü',
      '😀',
      '\u2028',
      '"',
      "'",
      '%',
      '@',
      '`',
    ]
    const object: KubeObjectLike = {
      apiVersion: 'example.test/v1',
      kind: 'Thing',
      metadata: { name: 'x' },
      spec: {
        texts: [...texts, ...more],
        map: Object.fromEntries(
          texts
            .concat(more)
            .filter((text) => text !== '<<')
            .map((text) => [text, text]),
        ),
        numbers: [0, -1, 420, 1.5, 1e21, 1e-7],
        lists: [[], [[1], {}], {}],
        no: null,
      },
    }
    await write('thing.yaml', canonicalYaml(object))
    await write('kustomization.yaml', 'resources: [thing.yaml]\n')
    expect(parseManifests(await render(dir), 'rendered').map((entry) => entry.object)).toEqual([object])
  })
})

describe('podinfo, unmodified', () => {
  it('becomes a bundle, twice the same', async () => {
    const make = async (name: string) => {
      const target = await Layout.open(join(dir, name), { create: true })
      const descriptor = await pushArtifact(target, { artifactType: 'application/x-test', layers: [] })
      const images = async () => ({ source: target, descriptor })
      const made = await makeBundle({
        sourceDir: podinfo,
        target,
        images,
        renderKustomize: render,
        fetchGoModule: goModuleWith(process.env),
      })
      return { ...(await readBundle(target, made.descriptor)), image: descriptor }
    }
    const [one, two] = [await make('one'), await make('two')]
    expect(two.descriptor).toEqual(one.descriptor)
    expect(one.objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).toEqual([
      'Service podinfo',
      'Deployment podinfo',
      'HorizontalPodAutoscaler podinfo',
    ])
    expect(one.images.map(({ name }) => name)).toEqual([`ghcr.io/stefanprodan/podinfo:${one.config.version}`])
  })
})
