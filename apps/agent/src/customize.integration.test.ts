import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, enclavePolicyKind, type ReleaseReport, type ReleaseSettings, siteOverlayKind } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import { seal } from '@muster/seal'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const vault = `vault-${id}`
const siteNames = [`more-${id}`, `short-${id}`]

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let entry: ChannelRelease

const manifests = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {host: "", level: info}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.0
`
const bundleYaml = `
parameters:
  - name: host
    schema: {type: string, pattern: "^[a-z.]+$"}
    default: nowhere
    set: [{target: {kind: ConfigMap, name: settings}, path: data.host}]
siteOverlays:
  allow: [{kind: Deployment.apps, path: "spec.template.spec.containers[*].resources"}]
`

const release = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)
const settings: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'settings', namespace: shop }
const web: Ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: shop }
const site = (name: string): Ref => ({ apiVersion, kind: 'SiteOverlay', name })
const dataOf = async () => (await client.get(settings))['data'] as { host: string; level: string }
const containerOf = async () => {
  const spec = (await client.get(web))['spec'] as { template: { spec: { containers: { image: string; resources?: object }[] } } }
  return spec.template.spec.containers[0]
}

/** Places the bundle with these settings, and waits until the agent says how that stands. */
async function placed(customize: ReleaseSettings['customize'], ready = true): Promise<ReleaseReport> {
  const generation = await fleet.channel([{ ...entry, settings: { customize } }])
  const report = await fleet.reported((one) => one.generation === generation && release(one)?.ready === ready)
  return release(report) as ReleaseReport
}

const patch = (kind: string, name: string, rest: object) =>
  JSON.stringify({ apiVersion: kind === 'Deployment' ? 'apps/v1' : 'v1', kind, metadata: { name }, ...rest })

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id, { kinds: [enclavePolicyKind, siteOverlayKind] }))
  entry = await fleet.publish(shop, '1.0.0', manifests, { bundleYaml })
  agent.start()
})

afterAll(async () => {
  for (const name of siteNames) await client.delete(site(name))
  await end(shop, vault)
})

describe('customizations', () => {
  it('are applied over the signed bundle in order of precedence, and reported', async () => {
    const overlay = { patches: [{ patch: patch('ConfigMap', 'settings', { data: { level: 'debug' } }) }] }
    const report = await placed([
      { name: 'everywhere', level: 'all', values: { host: 'a.example.test' } },
      { name: 'here', level: 'cluster', values: { host: 'b.example.test' }, overlay },
    ])
    expect(await dataOf()).toEqual({ host: 'b.example.test', level: 'debug' })
    expect(report.customizations).toEqual([
      { name: 'everywhere', level: 'all' },
      { name: 'here', level: 'cluster' },
    ])
    const live = await client.get({ apiVersion, kind: 'Release', name: shop })
    expect(live['status']).toMatchObject({ customizations: report.customizations })
  })

  it('that do not fit are refused with their name, and what runs is kept and corrected', async () => {
    const report = await placed([{ name: 'wrong', level: 'all', overlay: { replicas: [{ name: 'none', count: 1 }] } }], false)
    expect(report).toMatchObject({
      reason: 'CustomizationInvalid',
      message: expect.stringContaining('The customization wrong (all): replicas: '),
    })
    expect(await dataOf()).toEqual({ host: 'b.example.test', level: 'debug' })
    await client.patch(settings, { data: { level: 'changed' } }, { type: 'merge' })
    await eventually(async () => (await dataOf()).level === 'debug')
  })

  it('that end leave the bundle as it is signed', async () => {
    await placed(undefined)
    expect(await dataOf()).toEqual({ host: 'nowhere', level: 'info' })
  })
})

describe('an image that an overlay brings', () => {
  const image = (digest: string): ReleaseSettings['customize'] => [
    { name: 'image', level: 'all', overlay: { images: [{ name: 'registry.example/web', newTag: '2.0', digest }] } },
  ]

  it('is refused where no publisher signed it', async () => {
    const digest = await fleet.publishImage('mirror/registry.example/web', 'unsigned', { signed: false })
    expect(await placed(image(digest), false)).toMatchObject({
      reason: 'SignatureMissing',
      message: expect.stringContaining(`registry.example/web:2.0@${digest}, which a customization brings`),
    })
  })

  it('runs where one did', async () => {
    const digest = await fleet.publishImage('mirror/registry.example/web', 'signed', { signed: true })
    await placed(image(digest))
    expect((await containerOf())?.image).toBe(`registry.example/web:2.0@${digest}`)
    await placed(undefined)
  })
})

describe('a sealed value', () => {
  const text = `secret-${randomBytes(8).toString('hex')}`
  const secret: Ref = { apiVersion: 'v1', kind: 'Secret', name: 'database', namespace: vault }

  it('goes where its parameter says, wherever that is, and is nowhere else', async () => {
    const sealedYaml = `
parameters:
  - name: password
    schema: {type: string, minLength: 8}
    secret: true
    set:
      - {target: {kind: Secret}, path: data.password}
      - {target: {kind: Secret}, path: data.url, template: "postgres://shop:$(value)@db"}
`
    const objects = 'apiVersion: v1\nkind: Secret\nmetadata: {name: database}\n'
    const other = await fleet.publish(vault, '1.0.0', objects, { bundleYaml: sealedYaml })
    const report = await fleet.reported(({ sealing }) => sealing !== undefined)
    const key = report.sealing?.key
    if (key === undefined) throw new Error('there is no sealing key')
    const place = { cluster: fleet.cluster, release: vault, parameter: 'password' }
    const sealed = { password: await seal(text, place, key) }
    await fleet.channel([entry, { ...other, settings: { sealed } }])
    await fleet.reported((one) => one.releases.some(({ name, ready }) => name === vault && ready))
    const data = (await client.get(secret))['data'] as Record<string, string>
    const plain = Object.fromEntries(Object.entries(data).map(([name, value]) => [name, Buffer.from(value, 'base64').toString()]))
    expect(plain).toEqual({ password: text, url: `postgres://shop:${text}@db` })
    const told = [
      fleet.reports,
      (await client.list({ apiVersion, kind: 'Release' })).items,
      (await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' })).items,
    ]
    for (const value of [text, ...Object.values(data)]) expect(JSON.stringify(told)).not.toContain(value)
  })

  it('for another place is refused, and its text is not told', async () => {
    const report = await fleet.reported(({ sealing }) => sealing !== undefined)
    const key = report.sealing?.key
    if (key === undefined) throw new Error('there is no sealing key')
    const elsewhere = await seal(text, { cluster: fleet.cluster, release: shop, parameter: 'host' }, key)
    const other = await fleet.publish(vault, '1.0.1', 'apiVersion: v1\nkind: Secret\nmetadata: {name: database}\n', {
      bundleYaml:
        'parameters: [{name: password, schema: {type: string}, secret: true, set: [{target: {kind: Secret}, path: data.password}]}]\n',
    })
    await fleet.channel([entry, { ...other, settings: { sealed: { password: elsewhere } } }])
    const refused = await fleet.reported((one) =>
      one.releases.some(({ name, reason }) => name === vault && reason === 'CustomizationInvalid'),
    )
    expect(refused.releases.find(({ name }) => name === vault)?.message).toContain('Seal it for where it is used')
    expect(JSON.stringify(refused)).not.toContain(text)
  })
})

describe('an overlay of the site', () => {
  const overlay = (fields: object) => ({
    patches: [{ patch: patch('Deployment', 'web', { spec: { template: { spec: { containers: [{ name: 'web', ...fields }] } } } }) }],
  })
  const [more = '', short = ''] = siteNames
  const write = (name: string, spec: object) =>
    client.apply({ apiVersion, kind: 'SiteOverlay', metadata: { name }, spec: { release: shop, ...spec } } as unknown as KubeObject, {
      fieldManager: 'agent-test',
      force: true,
    })
  const ready = async (name: string) =>
    ((await client.find(site(name)))?.['status'] as { conditions?: { reason: string; message: string }[] } | undefined)?.conditions?.[0]

  it('comes after all others, at once, and everybody sees it and why', async () => {
    await write(more, {
      reason: 'This site has larger nodes',
      overlay: overlay({ resources: { limits: { memory: '1Gi' } } }),
      values: { host: 'site' },
    })
    await eventually(async () => (await containerOf())?.resources !== undefined && (await dataOf()).host === 'site')
    const report = await fleet.reported((one) => release(one)?.customizations?.length === 1)
    expect(release(report)?.customizations).toEqual([{ name: more, level: 'site', reason: 'This site has larger nodes' }])
    await eventually(async () => (await ready(more))?.reason === 'InForce')
  })

  it('that goes beyond what the bundle allows is refused with the field, and what runs is kept', async () => {
    await write(more, { reason: 'More', overlay: overlay({ args: ['--debug'] }) })
    const report = await fleet.reported((one) => release(one)?.reason === 'CustomizationInvalid')
    expect(release(report)?.message).toContain(
      'Deployment web has spec.template.spec.containers[name=web].args, which the bundle does not let a site change.',
    )
    await eventually(async () => (await ready(more))?.reason === 'Refused')
    expect((await containerOf())?.resources).toEqual({ limits: { memory: '1Gi' } })
  })

  it('goes when it is deleted', async () => {
    await client.delete(site(more))
    await eventually(async () => JSON.stringify((await containerOf())?.resources ?? {}) === '{}' && (await dataOf()).host === 'nowhere')
  })

  it('ends by itself when it was said to', async () => {
    const until = new Date(Date.now() + 4_000).toISOString()
    await write(short, { reason: 'For now', values: { host: 'brief' }, until })
    await eventually(async () => (await dataOf()).host === 'brief')
    await eventually(async () => (await dataOf()).host === 'nowhere' && (await ready(short))?.reason === 'Ended')
  })
})
