import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { inOrder, parseManifests, readManifests, refuseDuplicates } from './manifests.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-manifests-'))
})
afterEach(() => rm(dir, { recursive: true }))

const service = (name: string) => `apiVersion: v1\nkind: Service\nmetadata:\n  name: ${name}\n`

describe('manifests', () => {
  it('are read from files and folders, YAML and JSON, hidden files left out', async () => {
    await mkdir(join(dir, 'app', 'deep'), { recursive: true })
    await writeFile(join(dir, 'app', 'a.yaml'), `${service('a')}---\n${service('b')}`)
    await writeFile(join(dir, 'app', 'deep', 'c.json'), JSON.stringify({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'c' } }))
    await writeFile(join(dir, 'app', '.hidden.yaml'), service('d'))
    await writeFile(join(dir, 'app', 'notes.txt'), 'nothing')
    const objects = await readManifests([join(dir, 'app'), join(dir, 'app', 'a.yaml')], dir)
    expect(objects.map(({ object, where }) => [object.metadata.name, where])).toEqual([
      ['a', 'app/a.yaml, document 1 (line 1)'],
      ['b', 'app/a.yaml, document 2 (line 6)'],
      ['c', 'app/deep/c.json, document 1 (line 1)'],
    ])
  })

  it('that are missing are named', async () => {
    await expect(readManifests([join(dir, 'none.yaml')], dir)).rejects.toMatchObject({
      code: 'ManifestInvalid',
      message: expect.stringContaining('none.yaml'),
    })
    await expect(readManifests([dir], dir)).rejects.toMatchObject({ code: 'ManifestInvalid' })
  })

  it('that are lists become their items', () => {
    const list = `apiVersion: v1\nkind: List\nitems:\n- ${service('a').trimEnd().replaceAll('\n', '\n  ')}\n- apiVersion: v1\n  kind: ServiceList\n  items:\n  - {apiVersion: v1, kind: Service, metadata: {name: b}}\n`
    expect(parseManifests(list, 'list.yaml').map(({ object }) => object.metadata.name)).toEqual(['a', 'b'])
  })

  it('of a kind that only ends in List stay whole', () => {
    expect(parseManifests('{apiVersion: example.test/v1, kind: AllowList, metadata: {name: a}, items: [x]}', 'a.yaml')).toHaveLength(1)
  })

  it.each([
    ['no apiVersion', 'kind: Service\nmetadata: {name: a}', 'has no valid apiVersion'],
    ['no kind', 'apiVersion: v1\nmetadata: {name: a}', 'has no valid kind'],
    ['no name', 'apiVersion: v1\nkind: Service\nmetadata: {}', 'has no metadata.name'],
    ['no metadata', 'apiVersion: v1\nkind: Service', 'has no metadata'],
    ['a generated name', 'apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}', 'generateName'],
    ['a name that leaves its path', 'apiVersion: v1\nkind: Pod\nmetadata: {name: ../../secrets}', 'no API server takes'],
    ['a namespace that is none', 'apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: "A/b"}', 'namespace'],
    ['an annotation that is a number', 'apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {port: 9797}}', 'is not a string'],
    ['no object', '- a\n- b', 'is not a Kubernetes object'],
    ['a kustomization', 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization', 'as kustomize: in bundle.yaml'],
  ])('with %s are refused with file, document and line', (_what, text, why) => {
    const run = () => parseManifests(`${service('first')}---\n# a comment\n${text}\n`, 'app.yaml')
    expect(run).toThrow(expect.objectContaining({ code: 'ManifestInvalid' }))
    expect(run).toThrow(why)
    expect(run).toThrow(/^app\.yaml, document 2 \(line 7\)/)
  })

  it('of one identity are refused, both files named; another version of the API is the same object', () => {
    const objects = [
      ...parseManifests('{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}', 'one.yaml'),
      ...parseManifests('{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: web}}', 'two.yaml'),
    ]
    expect(() => refuseDuplicates(objects)).toThrow(expect.objectContaining({ code: 'DuplicateObject' }))
    expect(() => refuseDuplicates(objects)).toThrow(/Deployment web .*one\.yaml.*two\.yaml/)
  })

  it('have one order, whatever order they came in', () => {
    const objects = ['b', 'a', 'c'].flatMap((name) => parseManifests(service(name), `${name}.yaml`))
    expect(inOrder(objects)).toEqual(inOrder([...objects].reverse()))
  })
})
