import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Layout, pushArtifact } from '@muster/oci'
import { afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { kustomizeWith } from '../kustomize.ts'
import { makeBundle } from '../make.ts'
import { goModuleWith } from '../module.ts'
import { readBundle } from '../read.ts'
import { kubernetesVersion } from './defaults.ts'
import { helmProgram } from './program.ts'
import { helmWith } from './render.ts'

const checkout = join(import.meta.dirname, '../../../..')
const cache = process.env['MUSTER_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'muster')
const program = () => helmProgram({ cacheDir: join(cache, 'tools'), env: process.env })
// Built on a new machine: minutes.
beforeAll(program, 20 * 60_000)

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-helm-'))
})
afterEach(() => rm(dir, { recursive: true }))

const write = async (path: string, text: string) => {
  await mkdir(join(dir, path, '..'), { recursive: true })
  await writeFile(join(dir, path), text)
}
async function make(sourceDir: string, name = 'target') {
  const target = await Layout.open(join(dir, name), { create: true })
  const descriptor = await pushArtifact(target, { artifactType: 'application/x-test', layers: [] })
  const made = await makeBundle({
    sourceDir,
    target,
    images: async () => ({ source: target, descriptor }),
    renderKustomize: kustomizeWith([inject('kubectl'), 'kustomize']),
    renderHelm: helmWith(program),
    fetchGoModule: goModuleWith(process.env),
  })
  return { ...(await readBundle(target, made.descriptor)), warnings: made.warnings }
}

/** A chart of these templates, and a bundle of it. */
async function shop(templates: Record<string, string>, values = '{}', more = ''): Promise<string> {
  await write('shop/app/Chart.yaml', `apiVersion: v2\nname: app\nversion: 1.0.0\n${more}`)
  for (const [name, text] of Object.entries(templates)) await write(`shop/app/${name}`, text)
  await write(
    'shop/bundle.yaml',
    `apiVersion: muster.dev/v1alpha1\nkind: BundleSource\nname: shop\nversion: 1.0.0\ncomponents: [{name: app, helm: {chart: app, values: ${values}}}]\n`,
  )
  return join(dir, 'shop')
}
const config = (name: string, data: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {a: ${data}}\n`
const dataOf = (bundle: Awaited<ReturnType<typeof make>>) => bundle.objects.map((object) => object['data'])

describe("podinfo's own chart and its Kustomize folder", () => {
  it('become bundles with the same images, each the same every time', async () => {
    const [chart, again, kustomize] = [
      await make(join(checkout, 'examples/podinfo-chart')),
      await make(join(checkout, 'examples/podinfo-chart'), 'again'),
      await make(join(checkout, 'examples/podinfo')),
    ]
    expect(again.descriptor).toEqual(chart.descriptor)
    expect(chart.images).toEqual(kustomize.images)
    expect(chart.images.map(({ name }) => name)).toEqual([`ghcr.io/stefanprodan/podinfo:${chart.config.version}`])
    expect(chart.objects.map(({ kind, metadata: { name } }) => `${kind} ${name}`)).toEqual(['Service podinfo', 'Deployment podinfo'])
    expect(chart.config.charts?.[0]?.parameters.find(({ name }) => name === 'hpa.cpu')?.description).toContain('average total CPU')
    expect(chart.config.leftOut?.map(({ why }) => why)).toContain('a test hook')
    expect(chart.warnings).toEqual([])
  })
})

describe('the real Helm', () => {
  it('sees fixed names and versions, and the Kubernetes that Muster builds', async () => {
    const text =
      '"{{ .Release.Name }} {{ .Release.Namespace }} {{ .Release.Revision }} {{ .Release.IsInstall }} {{ .Capabilities.KubeVersion.Version }}"'
    expect(dataOf(await make(await shop({ 'templates/a.yaml': config('a', text) })))).toEqual([
      { a: `app shop 1 true v${kubernetesVersion}` },
    ])
    const built = /k8s\.io\/kubernetes v(\S+)/.exec(await readFile(join(checkout, 'distro/kubernetes/go.mod'), 'utf8'))?.[1]
    expect(kubernetesVersion).toBe(built)
  })

  it('renders subcharts, definitions first, and values with what the bundle sets', async () => {
    const crd = 'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.test}\nspec: {}\n'
    const folder = await shop(
      {
        'templates/a.yaml': config('a', '{{ .Values.text | quote }}'),
        'crds/crd.yaml': crd,
        'values.yaml': 'text: default\n',
        'charts/sub/Chart.yaml': 'apiVersion: v2\nname: sub\nversion: 1.0.0\n',
        'charts/sub/templates/b.yaml': config('b', '{{ .Values.global.x | quote }}'),
      },
      '{text: set, global: {x: shared}}',
      'dependencies: [{name: sub, version: 1.0.0}]\n',
    )
    const { objects, config: made } = await make(folder)
    expect(objects.map(({ metadata: { name } }) => name)).toEqual(['things.example.test', 'a', 'b'])
    expect(objects.map((object) => object['data'])).toEqual([undefined, { a: 'set' }, { a: 'shared' }])
    expect(made.charts?.[0]?.parameters).toEqual([{ name: 'text', type: 'string', default: 'default', value: 'set' }])
  })

  it.each([
    ['a password', '{{ randAlphaNum 20 | quote }}'],
    ['a certificate', '{{ (genSelfSignedCert "a" nil nil 1).Cert | quote }}'],
    ['a unique id', '{{ uuidv4 | quote }}'],
    ['the time', '{{ now | unixEpoch | quote }}'],
    ['the date', '{{ now | date "2006-01-02" | quote }}'],
  ])('is refused %s that is made anew each time, by template', async (_what, template) => {
    const folder = await shop({ 'templates/secret.yaml': config('a', template) })
    await expect(make(folder)).rejects.toMatchObject({
      code: 'ChartNotDeterministic',
      message: expect.stringContaining('app/templates/secret.yaml'),
    })
  })

  it.each([
    ['a template that fails', 'HelmFailed', { 'templates/a.yaml': '{{ fail "set the host" }}' }, 'set the host'],
    ['a template that cannot be read', 'HelmFailed', { 'templates/a.yaml': '{{ if }}' }, 'a.yaml'],
    ['values that its schema refuses', 'HelmFailed', { 'values.schema.json': '{"required":["host"]}' }, 'host'],
    ['a schema that is somewhere else', 'HelmFailed', { 'values.schema.json': '{"$ref":"https://example.test/schema.json"}' }, 'chart app'],
    [
      'a template without end',
      'TooLarge',
      { 'templates/a.yaml': '{{ range $i := until 100000000 }}{{ repeat 1000 "x" }}{{ end }}' },
      'memory',
    ],
    ['text of gigabytes', 'TooLarge', { 'templates/a.yaml': 'a: {{ repeat 2000000000 "x" }}' }, 'memory'],
    [
      'a template that includes itself',
      'HelmFailed',
      { 'templates/a.yaml': '{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}' },
      'chart app',
    ],
  ] as const)('says of %s what is wrong, within its bounds', async (_what, code, templates, message) => {
    const folder = await shop({ 'templates/ok.yaml': config('ok', 'b'), ...templates })
    await expect(make(folder)).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
  })

  it('knows nothing of the machine or of a cluster', async () => {
    const template = config('a', '"{{ len (lookup "v1" "Namespace" "" "") }} {{ getHostByName "localhost" }}"')
    expect(dataOf(await make(await shop({ 'templates/a.yaml': template })))).toEqual([{ a: '0 ' }])
    const folder = await shop({ 'templates/a.yaml': config('a', '{{ env "HOME" }}') })
    await expect(make(folder)).rejects.toMatchObject({ code: 'HelmFailed' })
  })
})

describe('the program', () => {
  it('that is on PATH is taken only in the version that renders the same', async () => {
    const elsewhere = join(dir, 'cache')
    for (const [version, taken] of [
      ['v4.3.9', true],
      ['v3.18.0', false],
    ] as const) {
      await write('bin/helm', `#!/bin/sh\necho ${version}\n`)
      await chmod(join(dir, 'bin/helm'), 0o755)
      const found = helmProgram({ cacheDir: elsewhere, env: { PATH: join(dir, 'bin') } })
      if (taken) expect(await found).toBe(join(dir, 'bin/helm'))
      else await expect(found).rejects.toMatchObject({ code: 'HelmFailed', message: expect.stringContaining('go could not be started') })
    }
  })
})
