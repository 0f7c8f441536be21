import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let versions: readonly ChannelRelease[]

const manifests = (version: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: web\ndata:\n  version: ${version}\n`

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
  versions = [await fleet.publish(shop, '1.0.0', manifests('1.0.0')), await fleet.publish(shop, '2.0.0', manifests('2.0.0'))]
})

afterAll(async () => end(shop))

const of = (report: ClusterReport): ReleaseReport | undefined => report.releases.find((one) => one.name === shop)
const version = async (): Promise<unknown> =>
  ((await client.find({ apiVersion: 'v1', kind: 'ConfigMap', name: 'web', namespace: shop }))?.['data'] as { version?: string } | undefined)
    ?.version
const entry = (number: 1 | 2): ChannelRelease => versions[number - 1] as ChannelRelease

async function say(site: object): Promise<Release> {
  const ref = { apiVersion, kind: 'Release', name: shop }
  const said = await client.patch(ref, { spec: { site } }, { type: 'merge', fieldManager: 'muster-site' })
  const seen = async () => client.get<Release & KubeObject>(ref)
  await eventually(async () => ((await seen()).status?.observedGeneration ?? 0) >= (said.metadata.generation ?? 0))
  return seen()
}

async function meddle(): Promise<void> {
  const ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'web', namespace: shop }
  await client.patch(ref, { data: { version: 'meddled' } }, { type: 'merge', fieldManager: 'somebody' })
}

describe('a release that its site suspends', () => {
  it('is neither corrected nor upgraded nor taken away, and says so; resumed, all of it is made up for', async () => {
    await fleet.channel([entry(1)])
    await fleet.reported((report) => of(report)?.ready === true)
    const suspended = await say({ suspend: { reason: 'the disk is being changed' } })
    expect(suspended.status?.conditions).toMatchObject([{ reason: 'Suspended', message: expect.stringContaining('disk is being changed') }])
    await meddle()
    const generation = await fleet.channel([entry(2)])
    const report = await fleet.reported((one) => one.generation === generation && of(one)?.message.includes('2.0.0') === true)
    expect(of(report)).toMatchObject({ ready: false, reason: 'Suspended', suspended: { by: 'site', reason: 'the disk is being changed' } })
    const emptied = await fleet.channel([], { prune: { maxShare: 1 } })
    await fleet.reported((one) => one.generation === emptied && of(one)?.message.includes('not wanted any more') === true)
    expect(await version()).toBe('meddled')
    await fleet.channel([entry(1)])
    await say({ suspend: null })
    await eventually(async () => (await version()) === '1.0.0')
    expect(of(await fleet.reported((one) => of(one)?.ready === true))?.suspended).toBeUndefined()
  })

  it('is left alone after a restart of the agent, too', async () => {
    await say({ suspend: { reason: 'still' } })
    await agent.end()
    await meddle()
    agent.start()
    await fleet.reported((one) => of(one)?.message.includes('not looked at') === true)
    expect(await version()).toBe('meddled')
    await say({ suspend: null })
    await eventually(async () => (await version()) === '1.0.0')
  })

  it('may be suspended by the hub, in its channel', async () => {
    await fleet.channel([{ ...entry(2), settings: { suspend: { reason: 'release freeze' } } }])
    const report = await fleet.reported((one) => of(one)?.suspended?.by === 'hub')
    expect(of(report)).toMatchObject({ suspended: { by: 'hub', reason: 'release freeze' } })
    expect(await version()).toBe('1.0.0')
    await fleet.channel([entry(2)])
    await eventually(async () => (await version()) === '2.0.0')
  })
})

describe('a site', () => {
  it('holds a release at a version that ran before, whatever the channel wants, over a restart of the agent', async () => {
    await fleet.reported((one) => of(one)?.version === '2.0.0' && of(one)?.ready === true)
    await say({ hold: { digest: entry(1).bundle.digest, reason: 'orders fail' } })
    const report = await fleet.reported(
      (one) => of(one)?.held?.version === '1.0.0' && of(one)?.version === '1.0.0' && of(one)?.ready === true,
    )
    expect(of(report)).toMatchObject({ reason: 'Held', held: { version: '1.0.0', reason: 'orders fail', wanted: '2.0.0' } })
    expect(await version()).toBe('1.0.0')
    await agent.end()
    await meddle()
    agent.start()
    await eventually(async () => (await version()) === '1.0.0')
    const { status } = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: shop })
    expect(status?.history?.map((one) => [one.version, one.by])).toEqual([
      ['1.0.0', 'site'],
      ['2.0.0', 'channel'],
      ['1.0.0', 'channel'],
    ])
  })

  it('cannot bring in by a hold what no channel ever brought: what runs is kept', async () => {
    const stranger = await fleet.publish(shop, '9.0.0', manifests('9.0.0'))
    const release = await say({ hold: { digest: stranger.bundle.digest, reason: 'because' } })
    expect(release.status?.conditions).toMatchObject([{ status: 'False', reason: 'HoldUnknown' }])
    expect(await version()).toBe('1.0.0')
    await say({ hold: null })
    await eventually(async () => (await version()) === '2.0.0')
  })

  it('has a release reconciled at once, and is answered when that is done', async () => {
    await fleet.reported((one) => of(one)?.version === '2.0.0' && of(one)?.ready === true)
    const before = agent.applied.length
    const reconcileAt = new Date().toISOString()
    await say({ reconcileAt })
    await eventually(async () => {
      const { status } = await client.get<Release & KubeObject>({ apiVersion, kind: 'Release', name: shop })
      return status?.reconciledAt === reconcileAt
    })
    expect(agent.applied.slice(before)).toContain('ConfigMap/web')
  })
})
