import { randomBytes } from 'node:crypto'
import type { ClusterReport, Grant, ReleaseReport } from '@muster/api'
import { siteOverlayKind } from '@muster/api'
import type { Ref } from '@muster/kube'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from '../testing/cluster.ts'

const hour = 3_600_000
const day = 24 * hour
const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
/** A tenant's, in a namespace that it is granted. */
const rented = `rented-${id}`
const tenant = `clock-${id}`

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id, { kinds: [siteOverlayKind] }))
  agent.start()
})

afterAll(async () => end(shop, rented))

const config = (namespace: string): Ref => ({ apiVersion: 'v1', kind: 'ConfigMap', name: 'settings', namespace })
const version = async (namespace = shop): Promise<unknown> =>
  ((await client.find(config(namespace)))?.['data'] as { version?: string } | undefined)?.version

async function publish(next: string, grants?: Grant[]): Promise<ChannelRelease> {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { version: next } }
  const entry = await fleet.publish(grants === undefined ? shop : rented, next, JSON.stringify(object))
  return grants === undefined ? entry : { ...entry, settings: { tenant: { name: tenant, grants } } }
}

/** A time from now on, as channels say it. */
const signed = (ms: number): string => `${new Date(Date.now() + ms).toISOString().slice(0, 19)}Z`

/** A channel as a hub signs it that knows what time it is. */
async function channel(entry: ChannelRelease, more: Partial<ChannelContent> = {}): Promise<number> {
  return fleet.channel([entry], { issuedAt: signed(agent.passedMs), expiresAt: signed(agent.passedMs + day), ...more })
}

const stands = (test: (release: ReleaseReport | undefined, report: ClusterReport) => boolean, of = shop): Promise<ClusterReport> =>
  fleet.reported((report) =>
    test(
      report.releases.find(({ name }) => name === of),
      report,
    ),
  )

async function restart(): Promise<void> {
  await agent.end()
  const before = fleet.reports.length
  agent.start()
  await fleet.reported(() => fleet.reports.length > before)
}

async function driftIsCorrected(to: string, namespace = shop): Promise<void> {
  await client.patch(config(namespace), { data: { version: 'by hand' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
  await eventually(async () => (await version(namespace)) === to)
}

describe('a clock that is set', () => {
  it('forth and back across the end of the channel: what runs is kept right, nothing new is taken, and then all is as before', async () => {
    const generation = await channel(await publish('1.0.0'))
    await stands((release) => release?.ready === true)
    agent.aheadMs = 10 * day
    await stands((release, report) => release?.reason === 'Stale' && report.channelUnreadable?.reason === 'ChannelExpired')
    await driftIsCorrected('1.0.0')
    const next = await publish('1.1.0')
    await channel(next)
    await driftIsCorrected('1.0.0')
    expect(fleet.reports.at(-1)).toMatchObject({ generation })
    agent.aheadMs = 0
    await stands((release) => release?.version === '1.1.0' && release.reason === 'Healthy')
  })

  it('back, after the channel has ended: it has ended all the same, no older one is taken, also after a restart, and a new one is', async () => {
    const old = fleet.generation
    agent.passedMs += 2 * day
    await stands((release) => release?.reason === 'Stale')
    agent.aheadMs = -3 * day
    await channel(await publish('1.2.0'), { expiresAt: signed(day) })
    const newest = fleet.generation
    await stands((release, { channelUnreadable }) => release?.reason === 'Stale' && channelUnreadable?.reason === 'ChannelExpired')
    await driftIsCorrected('1.1.0')
    await channel(await publish('0.9.0'), { generation: old - 1 })
    await stands((_release, { channelUnreadable }) => channelUnreadable?.message.includes('put back') === true)
    await restart()
    await stands((_release, { channelUnreadable }) => channelUnreadable?.message.includes('put back') === true)
    expect(await version()).toBe('1.1.0')
    await channel(await publish('1.3.0'), { generation: newest + 1 })
    await stands((release) => release?.version === '1.3.0' && release.reason === 'Healthy')
    agent.aheadMs = 0
  })

  it('back, after a grant has ended: it does not come to life again, nor after a restart once the hub has signed later', async () => {
    const until = new Date(Date.now() + agent.passedMs + 2 * hour).toISOString()
    const grants: Grant[] = [{ name: 'apps', kinds: ['ConfigMap'], namespaces: [rented], until }]
    await channel(await publish('2.0.0', grants))
    await stands((release) => release?.version === '2.0.0' && release.reason === 'Healthy', rented)
    agent.passedMs += 3 * hour
    agent.aheadMs = -5 * hour
    // Signed while it held, and on its way until after its end.
    const { passedMs } = agent
    await channel(await publish('2.1.0', grants), { issuedAt: signed(passedMs - 2 * hour) })
    await stands((release, { generation }) => generation === fleet.generation && release?.reason === 'NotGranted', rented)
    await channel(await publish('2.2.0', grants))
    await stands((release, { generation }) => generation === fleet.generation && release?.reason === 'NotGranted', rented)
    await driftIsCorrected('2.0.0', rented)
    await restart()
    await stands((release) => release?.reason === 'NotGranted', rented)
    agent.aheadMs = 0
  })
})
