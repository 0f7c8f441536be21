import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Layout, pushArtifact } from '@muster/oci'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { limits } from '../limits.ts'
import { makeBundle } from '../make.ts'
import { readBundle } from '../read.ts'
import { tgzOf } from '../testing.ts'
import type { HelmRequest, RenderHelm } from './render.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-chart-'))
})
afterEach(() => rm(dir, { recursive: true }))

const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}
const source = (helm: string) =>
  write(
    'shop/bundle.yaml',
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents: [{name: app, helm: ${helm}}]\n`,
  )
const chart = async () => {
  await write('shop/app/Chart.yaml', 'apiVersion: v2\nname: app\nversion: 3.2.1\nappVersion: 1.2\n')
  await write('shop/app/values.yaml', '# how many\nreplicas: 1\n')
}
const document = (template: string, kind: string, name: string, more = '') =>
  `---\n# Source: app/${template}\napiVersion: ${kind === 'CustomResourceDefinition' ? 'apiextensions.k8s.io/v1' : 'v1'}\nkind: ${kind}\nmetadata:\n  name: ${name}\n${more}`
const hooked = (hook: string) => `  annotations: {"helm.sh/hook": "${hook}"}\n`

const make = async (render: RenderHelm | string, more: object = {}) => {
  const target = await Layout.open(join(dir, 'target'), { create: true })
  const made = await makeBundle({
    sourceDir: join(dir, 'shop'),
    target,
    images: async () => undefined,
    renderKustomize: async () => '',
    renderHelm: typeof render === 'string' ? async () => render : render,
    ...more,
  })
  return { ...made, target }
}

describe('a chart', () => {
  it('is rendered with fixed names, and kept with its parameters, hooks and what was left out', async () => {
    await chart()
    await source('{chart: app, values: {replicas: 3}, apiVersions: [example.test/v1]}')
    const requests: HelmRequest[] = []
    const rendered = [
      document('templates/config.yaml', 'ConfigMap', 'b'),
      document('templates/hook.yaml', 'ConfigMap', 'a', hooked('pre-install')),
      document('templates/tests/test.yaml', 'Pod', 'test', hooked('test')),
      document('crds/crd.yaml', 'CustomResourceDefinition', 'things.example.test'),
    ].join('')
    const { config, target, descriptor } = await make(async (request) => {
      requests.push(request)
      return rendered
    })
    expect(requests[0]).toMatchObject({ release: 'app', namespace: 'shop', kubeVersion: '1.37.2', apiVersions: ['example.test/v1'] })
    expect((await readBundle(target, descriptor)).objects.map(({ kind, metadata: { name } }) => `${kind} ${name}`)).toEqual([
      'CustomResourceDefinition things.example.test',
      'ConfigMap a',
      'ConfigMap b',
    ])
    expect(config).toMatchObject({
      charts: [
        {
          component: 'app',
          name: 'app',
          version: '3.2.1',
          appVersion: '1.2',
          parameters: [{ name: 'replicas', type: 'integer', default: 1, value: 3, description: 'how many' }],
        },
      ],
      hooks: [{ component: 'app', object: 'ConfigMap a', events: ['before-install'] }],
      leftOut: [{ component: 'app', from: 'app/templates/tests/test.yaml', why: 'a test hook' }],
    })
    expect((await readBundle(target, descriptor)).config).toEqual(config)
  })

  it('that renders to something else each time is refused by template and field, and shows no value', async () => {
    await chart()
    await source('{chart: app}')
    let count = 0
    const render: RenderHelm = async () => {
      count += 1
      return document('templates/secret.yaml', 'Secret', 'a', `stringData:\n  password: hunter${count}\n`)
    }
    const refused = make(render)
    await expect(refused).rejects.toMatchObject({
      code: 'ChartNotDeterministic',
      message: expect.stringMatching(/app\/templates\/secret\.yaml.*"password"/),
    })
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('hunter') })
  })

  it('may name its tests anew each time: they are left out', async () => {
    await chart()
    await source('{chart: app}')
    let count = 0
    const render: RenderHelm = async () => {
      count += 1
      return document('templates/a.yaml', 'ConfigMap', 'a') + document('templates/tests/t.yaml', 'Pod', `t${count}`, hooked('test'))
    }
    expect((await make(render)).config.objects).toBe(1)
  })

  it('that shows the date is seen by another clock', async () => {
    await chart()
    await source('{chart: app}')
    const render: RenderHelm = async ({ zoneHours }) =>
      document('templates/a.yaml', 'ConfigMap', 'a', `data:\n  day: d${zoneHours > 12 ? 2 : 1}\n`)
    await expect(make(render)).rejects.toMatchObject({ code: 'ChartNotDeterministic' })
  })

  it('comes packed, too, and from a registry', async () => {
    const packed = tgzOf([
      { path: 'app/Chart.yaml', content: 'apiVersion: v2\nname: app\nversion: 3.2.1\n' },
      { path: 'app/templates/a.yaml', content: 'kind: x' },
    ])
    await mkdir(join(dir, 'shop'))
    await writeFile(join(dir, 'shop', 'app-3.2.1.tgz'), packed)
    await source('{chart: app-3.2.1.tgz}')
    const { descriptor } = await make(document('templates/a.yaml', 'ConfigMap', 'a'))
    await source('{reference: "registry.example/charts/app:3.2.1"}')
    const registry = await Layout.open(join(dir, 'registry'), { create: true })
    const config = { mediaType: 'application/vnd.cncf.helm.config.v1+json', bytes: Buffer.from('{}') }
    const layer = { mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', bytes: packed }
    const pushed = await pushArtifact(registry, { artifactType: config.mediaType, config, layers: [layer] })
    const findArtifact = async () => ({ source: registry, descriptor: pushed })
    const again = await make(document('templates/a.yaml', 'ConfigMap', 'a'), { findArtifact })
    expect(again.descriptor.digest).toBe(descriptor.digest)
    const other = await pushArtifact(registry, { artifactType: 'application/x-test', layers: [] })
    await expect(make('', { findArtifact: async () => ({ source: registry, descriptor: other }) })).rejects.toMatchObject({
      code: 'HelmFailed',
    })
    await expect(make('', { findArtifact: async () => undefined })).rejects.toMatchObject({ code: 'SourceInvalid' })
  })

  it.each<[string, string, () => Promise<unknown>]>([
    ['a symbolic link', 'ArchiveUnsafe', () => symlink('/etc/hostname', join(dir, 'shop/app/link'))],
    ['values of a gigabyte', 'TooLarge', () => truncate(join(dir, 'shop/app/values.yaml'), 2 ** 30)],
    [
      'a template of a gigabyte',
      'TooLarge',
      async () => {
        await write('shop/app/templates/a.yaml', '')
        await truncate(join(dir, 'shop/app/templates/a.yaml'), 2 ** 30)
      },
    ],
    ['no Chart.yaml', 'HelmFailed', () => rm(join(dir, 'shop/app/Chart.yaml'))],
    ['a Chart.yaml without version', 'HelmFailed', () => write('shop/app/Chart.yaml', 'name: app\n')],
    ['a library', 'HelmFailed', () => write('shop/app/Chart.yaml', 'name: app\nversion: 1.0.0\ntype: library\n')],
    ['a schema that is no JSON', 'HelmFailed', () => write('shop/app/values.schema.json', '{')],
    [
      'a schema nested without end',
      'HelmFailed',
      () => write('shop/app/values.schema.json', `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`),
    ],
  ])('with %s is refused before Helm runs', async (_what, code, spoil) => {
    await chart()
    await source('{chart: app}')
    await spoil()
    const render: RenderHelm = async () => {
      throw new Error('not to be called')
    }
    // A parser's answer to values is the last thing before the bundle is written.
    const outcome = make(code === 'HelmFailed' ? document('templates/a.yaml', 'ConfigMap', 'a') : render)
    await expect(outcome).rejects.toMatchObject({ name: 'BundleError', code })
  })

  it('that renders to too many objects, or to an object without a name, is refused', async () => {
    await chart()
    await source('{chart: app}')
    await expect(make(document('templates/a.yaml', 'ConfigMap', '""'))).rejects.toMatchObject({
      code: 'ManifestInvalid',
      message: expect.stringContaining('app/templates/a.yaml'),
    })
    const many = Array.from({ length: limits.objects + 1 }, (_, at) => document('templates/a.yaml', 'ConfigMap', `a${at}`)).join('')
    await expect(make(many)).rejects.toMatchObject({ code: 'TooLarge' })
    await expect(make('')).rejects.toMatchObject({ code: 'ManifestInvalid', message: expect.stringContaining('holds no object') })
  })

  it('cannot be rendered where no Helm is given', async () => {
    await chart()
    await source('{chart: app}')
    await expect(make('', { renderHelm: undefined })).rejects.toMatchObject({ code: 'HelmFailed' })
  })
})
