import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, clusterKind, customResourceDefinition, environmentLabel, placementKind, siteOverlayKind } from '@muster/api'
import { KubeClient, type KubeObject, loadKubeconfig, type Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { type Ran, runWith } from '../testing/run.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const bravo = `bravo-${id}`
const more = `more-${id}`

let client: KubeClient
let dir = ''
/** Definitions that were not there before. */
const made: string[] = []

const run = (...args: string[]): Promise<Ran> =>
  runWith({ MUSTER_STATE: join(dir, 'state'), MUSTER_CACHE: join(dir, 'cache'), PATH: '' }, 'bundle', ...args)
const create = (kind: string, name: string, spec: object, labels: Record<string, string> = {}) =>
  client.create({ apiVersion, kind, metadata: { name, labels }, spec } as unknown as KubeObject)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-render-'))
  // One API server stands for the hub's and for the cluster's.
  for (const name of ['hub', bravo]) {
    await mkdir(join(dir, 'state', 'clusters', name), { recursive: true })
    await copyFile(inject('kubeconfig'), join(dir, 'state', 'clusters', name, 'admin.kubeconfig'))
  }
  client = new KubeClient(await loadKubeconfig(inject('kubeconfig')), { userAgent: 'render-test' })
  for (const kind of [clusterKind, placementKind, siteOverlayKind]) {
    const definition = customResourceDefinition(kind) as KubeObject
    const ref: Ref = { apiVersion: definition.apiVersion, kind: definition.kind, name: definition.metadata.name }
    if ((await client.find(ref)) !== undefined) continue
    await client.create(definition)
    made.push(definition.metadata.name)
  }
  for (const { kind } of [clusterKind, placementKind, siteOverlayKind])
    while ((await client.list({ apiVersion, kind }).catch(() => undefined)) === undefined) await pause(50)
  const folder = join(dir, 'source')
  await mkdir(folder)
  await writeFile(
    join(folder, 'bundle.yaml'),
    `apiVersion: muster.dev/v1alpha1
kind: BundleSource
name: ${shop}
version: 1.0.0
components: [{name: app, manifests: [app.yaml]}]
parameters:
  - {name: host, schema: {type: string}, default: nowhere, set: [{target: {kind: ConfigMap}, path: data.host}]}
  - {name: password, schema: {type: string}, secret: true, set: [{target: {kind: Secret}, path: data.password}]}
siteOverlays: {allow: [{kind: ConfigMap, path: data.level}]}
`,
  )
  await writeFile(
    join(folder, 'app.yaml'),
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {level: info}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: db}\n',
  )
  expect((await run('create', folder, '-o', `oci:${join(dir, 'out')}`)).err).not.toContain('cannot')
  await create('Cluster', bravo, {}, { [environmentLabel]: 'test' })
  const digest = `sha256:${'a'.repeat(64)}`
  await create('Placement', shop, {
    bundle: { repository: `bundles/${shop}`, version: '1.0.0', digest },
    namespace: 'shop',
    clusters: { names: [] },
    customize: [
      { name: 'tests', for: { environment: 'test' }, values: { host: 'test.example.test' } },
      { name: 'others', for: { environment: 'production' }, values: { host: 'example.test' } },
    ],
    sealed: { [bravo]: { password: 'a.b.c.d.e' } },
  })
})

afterAll(async () => {
  for (const [kind, name] of [
    ['Placement', shop],
    ['Cluster', bravo],
    ['SiteOverlay', more],
  ] as const)
    await client.delete({ apiVersion, kind, name })
  for (const name of made) await client.delete({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name })
  client.close()
  await rm(dir, { recursive: true })
})

describe('muster bundle render', () => {
  const overlay = (data: string) => ({
    release: shop,
    reason: 'trying',
    overlay: { patches: [{ target: { kind: 'ConfigMap' }, patch: `{data: {${data}}}` }] },
  })

  it('asks the hub what is said for the cluster, and stands in for what only the cluster can read', async () => {
    const { code, out, err } = await run('render', `oci:${join(dir, 'out')}`, '--cluster', bravo)
    expect(err).toBe('')
    expect(code).toBe(0)
    expect(out).toContain('  host: test.example.test # parameter host by tests (environment)\n')
    expect(out).toContain('  password: <hidden> # parameter password (sealed)\n')
    expect(out).toContain('  namespace: shop\n')
    expect(out).not.toContain('a.b.c.d.e')
  })

  it('takes what the site itself makes different, within its bounds', async () => {
    await create('SiteOverlay', more, overlay('level: debug'))
    const { out } = await run('render', `oci:${join(dir, 'out')}`, '--cluster', bravo, '--origins')
    expect(out).toMatch(new RegExp(`ConfigMap shop/settings +data\\.level +overlay ${more} \\(site\\)`))
    await client.delete({ apiVersion, kind: 'SiteOverlay', name: more })
    await create('SiteOverlay', more, overlay('host: mine'))
    const refused = await run('render', `oci:${join(dir, 'out')}`, '--cluster', bravo)
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('has data.host, which the bundle does not let a site change') })
  })

  it('says which cluster or placement there is not', async () => {
    const reference = `oci:${join(dir, 'out')}`
    expect(await run('render', reference, '--cluster', 'none')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no cluster "none"'),
    })
    expect(await run('render', reference, '--cluster', bravo, '--release', 'none')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no Placement "none"'),
    })
    expect(await run('render', reference)).toMatchObject({ code: 2 })
  })
})
