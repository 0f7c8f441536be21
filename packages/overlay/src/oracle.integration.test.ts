import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { OverlaySpec } from '@muster/api'
import { type KubeObjectLike, kustomizeWith, readDocuments } from '@muster/bundle'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { customize } from './customize.ts'
import { handMade } from './testing/cases.ts'
import { arbitraryCase, type OverlayCase } from './testing/generate.ts'

const render = kustomizeWith([inject('kubectl'), 'kustomize'])

let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-overlay-'))
})
afterAll(() => rm(dir, { recursive: true }))

let number = 0

/** What the real Kustomize makes of it. JSON is YAML: it is read as it is written here. */
async function kustomized(one: OverlayCase): Promise<KubeObjectLike[]> {
  const folder = await written(one)
  return read(await render(folder))
}

async function written({ objects, overlay }: OverlayCase): Promise<string> {
  number += 1
  const folder = join(dir, String(number))
  await mkdir(folder)
  await writeFile(join(folder, 'objects.yaml'), objects.map((object) => JSON.stringify(object)).join('\n---\n'))
  const { annotations, ...rest } = overlay
  const kustomization = { resources: ['objects.yaml'], ...rest, ...(annotations === undefined ? {} : { commonAnnotations: annotations }) }
  await writeFile(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization))
  return folder
}

function read(text: string): KubeObjectLike[] {
  return readDocuments(text, { file: 'kustomized', code: 'ManifestInvalid' }).map(({ value }) => value as KubeObjectLike)
}

/** With names of its own, so that many cases can be rendered in one go. */
function numbered(one: OverlayCase, at: number): OverlayCase {
  const text = JSON.stringify(one).replaceAll(/(?<=")(web|thing)(?=\\?")/g, `$1-${at}`)
  return JSON.parse(text) as OverlayCase
}

function customized({ objects, overlay }: OverlayCase): KubeObjectLike[] {
  const { objects: made, problems } = customize(objects, { layers: [{ name: 'x', level: 'cluster', overlay }], namespace: 'default' })
  // Images without digests are refused here, and are all the same to Kustomize.
  expect(problems.filter(({ code }) => code !== 'ImageNotPinned')).toEqual([])
  return made.map(({ object }) => object)
}

const byName = (objects: readonly KubeObjectLike[]) =>
  objects.toSorted((a, b) =>
    `${a.kind} ${a.metadata.namespace} ${a.metadata.name}` < `${b.kind} ${b.metadata.namespace} ${b.metadata.name}` ? -1 : 1,
  )

describe('the real Kustomize makes the same of', () => {
  it.each(handMade)('$what', async (one) => {
    expect(byName(customized(one))).toEqual(byName(await kustomized(one)))
  })

  it('whatever is asked of it', async () => {
    const cases = fc.sample(arbitraryCase, { numRuns: 150, seed: 20261128 }).map(numbered)
    const folders: string[] = []
    for (const one of cases) folders.push(await written(one))
    const root = join(dir, 'all')
    await mkdir(root)
    await writeFile(join(root, 'kustomization.yaml'), JSON.stringify({ resources: folders.map((folder) => relative(root, folder)) }))
    const theirs = Map.groupBy(read(await render(root)), ({ metadata }) => metadata.name.split('-')[1])
    for (const [at, one] of cases.entries())
      expect({ one, made: byName(customized(one)) }).toEqual({ one, made: byName(theirs.get(String(at)) ?? []) })
  })
})

describe('the real Kustomize refuses as we do', () => {
  const web = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { replicas: 1, template: { spec: { containers: [{ name: 'a' }] } } },
  }
  const refused: [string, OverlaySpec][] = [
    [
      'a patch for an object that is not there',
      { patches: [{ patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: other}}' }] },
    ],
    ['a JSON patch without a target', { patches: [{ patch: '[{"op": "remove", "path": "/spec"}]' }] }],
    [
      'a JSON patch of what is not there',
      { patches: [{ target: { kind: 'Deployment' }, patch: '[{"op": "remove", "path": "/spec/paused"}]' }] },
    ],
    [
      'a test that fails',
      { patches: [{ target: { kind: 'Deployment' }, patch: '[{"op": "test", "path": "/spec/replicas", "value": 2}]' }] },
    ],
    [
      'a map where a list is',
      {
        patches: [
          {
            target: { kind: 'Deployment' },
            patch: '{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {template: {spec: {containers: {a: b}}}}}',
          },
        ],
      },
    ],
    ['replicas of what is not there', { replicas: [{ name: 'other', count: 2 }] }],
  ]
  it.each(refused)('%s', async (_what, overlay) => {
    const { problems } = customize([web], { layers: [{ name: 'x', level: 'cluster', overlay }], namespace: 'default' })
    expect(problems).toHaveLength(1)
    await expect(kustomized({ objects: [web], overlay })).rejects.toMatchObject({ code: 'KustomizeFailed' })
  })
})
