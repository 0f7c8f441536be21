import { randomBytes } from 'node:crypto'
import { apiVersion, type Release, type ReleaseSettings } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
/** A namespace that was there before, with what others have in it. */
const place = `place-${id}`
const group = `adoption-${id}.example.test`

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let version = 0

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  for (const object of [theNamespace, bystander, theirs]) await client.create(object, { fieldManager: 'kubectl-create' })
  agent.start()
})

afterAll(async () => {
  await client.delete({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: `widgets.${group}` })
  await end(shop, place)
})

const configMap = (name: string, by: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: place },
  data: { by },
})
const theNamespace: KubeObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: place } }
const bystander = configMap('bystander', 'others')
const theirs = configMap('settings', 'others')
const ours = configMap('ours', 'us')
const definition: KubeObject = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `widgets.${group}` },
  spec: {
    group,
    names: { kind: 'Widget', plural: 'widgets' },
    scope: 'Namespaced',
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
}
const widget: KubeObject = { apiVersion: `${group}/v1`, kind: 'Widget', metadata: { name: 'theirs', namespace: place } }

const find = async ({ apiVersion: of, kind, metadata: { name, namespace } }: KubeObject) =>
  client.find({ apiVersion: of, kind, name, ...(namespace === undefined ? {} : { namespace }) })
const release: Ref = { apiVersion, kind: 'Release', name: shop }

async function bring(objects: readonly KubeObject[], settings: ReleaseSettings = {}): Promise<string> {
  const next = `1.0.${version++}`
  const entry = await fleet.publish(shop, next, objects.map((object) => JSON.stringify(object)).join('\n---\n'))
  await fleet.channel([{ ...entry, namespace: place, settings: { rollout: { minHealthySeconds: 0 }, ...settings } }])
  return next
}

describe('pain 10, the prune that surprises', () => {
  it('takes over nothing that was there before unless that is said, and names it', async () => {
    await bring([theNamespace, configMap('settings', 'us'), ours])
    const report = await fleet.reported(({ releases: [one] }) => one?.reason === 'ApplyFailed')
    expect(report.releases[0]?.message).toMatch(/Namespace place-\w+ \(NotAdopted\)/)
    expect(report.releases[0]?.message).toMatch(/ConfigMap place-\w+\/settings \(NotAdopted\).*"kubectl-create"/)
    expect(await find(theirs)).toMatchObject({ data: { by: 'others' } })
    expect((await find(theirs))?.metadata.labels).toBeUndefined()
  })

  it('deletes none of it when the release goes: not the namespace, though the release took it over, nor what others have there', async () => {
    const next = await bring([theNamespace, ours], { adopt: [{ kind: 'Namespace', name: place }] })
    await fleet.reported(({ releases: [one] }) => one?.version === next && one.ready)
    expect((await find(theNamespace))?.metadata.labels).toMatchObject({ 'muster.dev/release': shop })
    const uids = [(await find(theNamespace))?.metadata.uid, (await find(bystander))?.metadata.uid]
    await fleet.channel([])
    await eventually(async () => (await client.find(release)) === undefined)
    expect(await find(ours)).toBeUndefined()
    expect([(await find(theNamespace))?.metadata.uid, (await find(bystander))?.metadata.uid]).toEqual(uids)
    expect((await find(theNamespace))?.metadata.deletionTimestamp).toBeUndefined()
    expect(await find(theirs)).toMatchObject({ data: { by: 'others' } })
  })

  it('hides no leftover: what is protected is named with who must consent, stays while nobody does, and goes when somebody has', async () => {
    const first = await bring([definition, ours])
    await fleet.reported(({ releases: [one] }) => one?.version === first && one.ready)
    await eventually(async () => client.create(widget).catch(() => undefined))
    await bring([ours])
    await eventually(async () => (await client.find<Release & KubeObject>(release))?.status?.needsConsent)
    const report = await fleet.reported(({ releases: [one] }) => one?.reason === 'ProtectedNeedsConsent')
    expect(report.releases[0]?.message).toMatch(/CustomResourceDefinition widgets\..*Widget.*muster release consent/)
    expect(await find(widget)).toBeDefined()
    await bring([ours], { prune: { consent: ['CustomResourceDefinition.apiextensions.k8s.io'] } })
    await eventually(async () => (await find(definition)) === undefined)
    await fleet.reported(({ releases: [one] }) => one?.reason === 'Healthy')
    await fleet.channel([])
    await eventually(async () => (await client.find(release)) === undefined)
  })
})
