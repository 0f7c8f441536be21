import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `back-${id}`
const failing = Array.from({ length: 12 }, (_, at) => `failing-${at}-${id}`)
const rollout = { progressDeadlineSeconds: 3, minHealthySeconds: 0 }

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

/** A version: what it says, and of how many replicas; no node takes a pod here, so one of any is never healthy. */
const version = (greeting: string, replicas: number, more = '') => `
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {greeting: ${greeting}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {example.test/node: none}
      containers: [{name: web, image: "registry.example/web:1.0"}]
${more}`
const left = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: extra}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: none, resources: {requests: {storage: 1Mi}}}
`
const settled = (entry: ChannelRelease, more: object = {}): ChannelRelease => ({ ...entry, settings: { rollout, ...more } })
const customized = (when: string): object => ({
  customize: [{ name: when, level: 'all', overlay: { annotations: { 'example.test/of': when } } }],
})
const release = (report: ClusterReport, name = shop): ReleaseReport | undefined => report.releases.find((one) => one.name === name)
const find = async (kind: string, name: string): Promise<KubeObject | undefined> =>
  client.find({ apiVersion: kind === 'Deployment' ? 'apps/v1' : 'v1', kind, name, namespace: shop })
const greeting = async (): Promise<unknown> =>
  ((await find('ConfigMap', 'greeting'))?.['data'] as { greeting?: string } | undefined)?.greeting
const statusOf = async (): Promise<NonNullable<Release['status']>> =>
  ((await client.get({ apiVersion, kind: 'Release', name: shop })) as unknown as Release).status ?? {}

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => {
  const { items } = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event', namespace: 'default' })
  for (const { metadata, ...event } of items)
    if ((event['regarding'] as { name?: string } | undefined)?.name?.endsWith(id) === true)
      await client.delete({ apiVersion: 'events.k8s.io/v1', kind: 'Event', name: metadata.name, namespace: 'default' })
  await end(shop, ...failing)
})

describe('a version that does not become healthy in time', () => {
  let good: ChannelRelease
  let bad: ChannelRelease

  it('is said to be late where no version before it was healthy, and stays', async () => {
    await fleet.channel([settled(await fleet.publish(shop, '0.1.0', version('first', 1)))])
    const report = await fleet.reported((one) => release(one)?.reason === 'ProgressDeadlineExceeded')
    expect(release(report)).toMatchObject({ ready: false, version: '0.1.0' })
    expect(release(report)?.message).toMatch(/did not become healthy within 3 s: Deployment .*web.* No version before it was healthy here/)
  })

  it('is taken back for the last good one, customized as that was, and the reason is in report, status and event', async () => {
    good = settled(await fleet.publish(shop, '1.0.0', version('good', 0)), customized('then'))
    await fleet.channel([good])
    await fleet.reported((one) => release(one)?.ready === true && release(one)?.version === '1.0.0')
    bad = settled(await fleet.publish(shop, '2.0.0', version('bad', 1, left)), customized('now'))
    await fleet.channel([bad])
    const report = await fleet.reported((one) => release(one)?.reason === 'RolledBack')
    expect(release(report)).toMatchObject({
      ready: false,
      version: '1.0.0',
      digest: good.bundle.digest,
      rollback: { version: '2.0.0', digest: bad.bundle.digest, to: { version: '1.0.0' }, reason: 'Progressing' },
      since: expect.stringMatching(/Z$/),
    })
    expect(release(report)?.message).toMatch(/Version 2\.0\.0 did not become healthy within 3 s .* Version 1\.0\.0 runs again/)
    expect(await greeting()).toBe('good')
    expect((await find('ConfigMap', 'greeting'))?.metadata.annotations).toMatchObject({ 'example.test/of': 'then' })
    const { spec } = (await client.get({ apiVersion, kind: 'Release', name: shop })) as unknown as Release
    expect(spec.bundle.version).toBe('2.0.0')
    await eventually(async () => (await statusOf()).conditions?.[0]?.reason === 'RolledBack')
    expect(await statusOf()).toMatchObject({
      appliedVersion: '1.0.0',
      lastGood: { bundle: { version: '1.0.0' } },
      rollback: { from: { version: '2.0.0' }, to: { version: '1.0.0' }, reason: 'Progressing' },
    })
    await eventually(async () => {
      const { items } = await client.list({ apiVersion: 'events.k8s.io/v1', kind: 'Event' })
      return items.some((one) => one['reason'] === 'RolledBack' && (one['regarding'] as { name?: string } | undefined)?.name === shop)
    })
  })

  it('leaves nothing behind but what holds data, which the next version may want', async () => {
    await eventually(async () => (await find('ConfigMap', 'extra')) === undefined)
    expect(await find('PersistentVolumeClaim', 'data')).toBeDefined()
  })

  it('is not tried again: not by a restart, nor by a channel that says the same', async () => {
    const before = (await find('Deployment', 'web'))?.metadata.generation
    await fleet.channel([bad])
    await fleet.reported((one) => one.generation === fleet.generation)
    await agent.end()
    await client.patch(
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'greeting', namespace: shop },
      { data: { greeting: 'x' } },
      { type: 'merge' },
    )
    agent.start()
    await eventually(async () => (await greeting()) === 'good')
    await fleet.channel([{ ...bad, settings: { ...bad.settings, prune: { maxShare: 0.9 } } }])
    await fleet.reported((one) => one.generation === fleet.generation && release(one)?.reason === 'RolledBack')
    expect((await find('Deployment', 'web'))?.metadata.generation).toBe(before)
  })

  it('has its drift corrected towards what runs again', async () => {
    await client.patch(
      { apiVersion: 'v1', kind: 'ConfigMap', name: 'greeting', namespace: shop },
      { data: { greeting: 'x' } },
      { type: 'merge' },
    )
    await eventually(async () => (await greeting()) === 'good')
  })

  it('gives way to a fixed version at once', async () => {
    const fixed = settled(await fleet.publish(shop, '2.0.1', version('fixed', 0)))
    await fleet.channel([fixed])
    const report = await fleet.reported((one) => release(one)?.version === '2.0.1' && release(one)?.ready === true)
    expect(release(report)?.rollback).toBeUndefined()
    expect(await greeting()).toBe('fixed')
    await eventually(async () => (await statusOf()).rollback === undefined && (await statusOf()).lastGood?.bundle.version === '2.0.1')
  })

  it('goes back rightly when the agent is killed before any of its writes', async () => {
    for (let kill = 1; kill <= 8; kill++) {
      await fleet.channel([settled(await fleet.publish(shop, `3.${kill}.0`, version(`bad-${kill}`, 1, left)))])
      await fleet.reported((one) => release(one)?.version === `3.${kill}.0`)
      const back = async () =>
        fleet.reported(
          (one) =>
            one.generation === fleet.generation &&
            release(one)?.reason === 'RolledBack' &&
            release(one)?.rollback?.version === `3.${kill}.0`,
        )
      await agent.killBefore(kill, back())
      agent.start()
      const report = await back()
      expect(release(report)?.version).toBe('2.0.1')
      expect(await greeting()).toBe('fixed')
      expect((await find('Deployment', 'web'))?.['spec']).toMatchObject({ replicas: 0 })
      await eventually(async () => (await find('ConfigMap', 'extra')) === undefined)
    }
  }, 400_000)

  it('stays where its placement says so', async () => {
    const entry = await fleet.publish(shop, '4.0.0', version('stays', 1))
    await fleet.channel([{ ...entry, settings: { rollout: { ...rollout, onFailure: 'stay' } } }])
    const report = await fleet.reported((one) => release(one)?.reason === 'ProgressDeadlineExceeded' && release(one)?.version === '4.0.0')
    expect(release(report)?.message).toContain('onFailure: stay')
    expect(await greeting()).toBe('stays')
  })
})

describe('pain 2: a health wait blocks the fix', () => {
  it('does not come about: with more failing releases than workers a healthy one is ready, and each fix is taken at once', async () => {
    const group = (name: string) => `${name}.example.test`
    const stuck = (name: string) => `${definition(group(name), 'gadgets')}---\n${definition(group(name), 'widgets')}`
    // Two definitions of one kind: the second is never served, and to wait for it takes a minute. Others wait for health.
    const entries = await Promise.all(
      failing.map(async (name, at) => fleet.publish(name, '1.0.0', at % 2 === 0 ? stuck(name) : version('bad', 1))),
    )
    const healthy = settled(await fleet.publish(shop, '5.0.0', version('healthy', 0)))
    await fleet.channel([...entries.map((entry) => ({ ...entry, settings: {} })), healthy])
    const started = performance.now()
    await fleet.reported((one) => release(one)?.version === '5.0.0' && release(one)?.ready === true)
    expect(performance.now() - started).toBeLessThan(30_000)
    const fixes = await Promise.all(failing.map(async (name) => fleet.publish(name, '1.0.1', version('fixed', 0))))
    await fleet.channel([...fixes, healthy])
    const before = performance.now()
    await fleet.reported((one) => failing.every((name) => release(one, name)?.version === '1.0.1' && release(one, name)?.ready === true))
    expect(performance.now() - before).toBeLessThan(30_000)
    await fleet.channel([healthy])
    await fleet.reported((one) => one.releases.length === 1)
  }, 240_000)
})

function definition(group: string, plural: string): string {
  return `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ${plural}.${group}}
spec:
  group: ${group}
  scope: Namespaced
  names: {kind: Widget, plural: ${plural}}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`
}
