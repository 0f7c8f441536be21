import { randomBytes } from 'node:crypto'
import type { ClusterReport, ReleaseReport } from '@muster/api'
import type { Ref } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const day = 86_400_000
const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const other = `other-${id}`
const system = `agent-${id}`

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const config: Ref = { apiVersion: 'v1', kind: 'ConfigMap', name: 'greeting', namespace: shop }
const greeting = async (): Promise<unknown> => ((await client.find(config))?.['data'] as { greeting?: string } | undefined)?.greeting
const release = (report: ClusterReport, name = shop): ReleaseReport | undefined => report.releases.find((one) => one.name === name)
const publish = (version: string, text: string, name = shop): Promise<ChannelRelease> =>
  fleet.publish(name, version, `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: greeting\ndata:\n  greeting: ${text}\n`)
const runs = (version: string) => (report: ClusterReport) =>
  report.generation === fleet.generation && release(report)?.version === version && release(report)?.ready === true

/** Changes what runs, and waits until it is as it was signed. */
async function driftIsCorrected(to: string): Promise<void> {
  await client.patch(config, { data: { greeting: 'goodbye' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
  await eventually(async () => (await greeting()) === to)
}

async function restart(): Promise<void> {
  await agent.end()
  agent.start()
}

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop, other))

describe('the channel of a cluster', () => {
  it('is stored with its generation before anything of it is applied', async () => {
    for (const version of ['1.0.0', '1.1.0']) {
      const before = agent.applied.length
      await fleet.channel([await publish(version, `hello ${version}`)])
      await fleet.reported(runs(version))
      const since = agent.applied.slice(before)
      const stored = since.indexOf(`ConfigMap/muster-agent-state@${fleet.generation}`)
      expect(stored).toBeGreaterThanOrEqual(0)
      expect(since.indexOf('ConfigMap/greeting')).toBeGreaterThan(stored)
    }
  })

  it('is not replaced by a lower generation, also after a restart and when the agent’s state was lost', async () => {
    const generation = fleet.generation
    await fleet.channel([await publish('0.9.0', 'old')], { generation: generation - 1 })
    const refused = (report: ClusterReport) => report.channelUnreadable?.reason === 'ChannelRollback'
    await fleet.reported(refused)
    await agent.end()
    const before = fleet.reports.length
    agent.start()
    await fleet.reported((report) => fleet.reports.length > before && refused(report) && report.generation === generation)
    await agent.end()
    await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: 'muster-agent-state', namespace: system })
    const later = fleet.reports.length
    agent.start()
    await fleet.reported((report) => fleet.reports.length > later && refused(report) && report.generation === generation)
    expect(await greeting()).toBe('hello 1.1.0')
    await fleet.channel([await publish('1.1.0', 'hello 1.1.0')], { generation: generation + 1 })
    await fleet.reported((report) => runs('1.1.0')(report) && report.channelUnreadable === undefined)
  })

  it('is not replaced by that of another cluster', async () => {
    const { generation } = fleet
    await fleet.channel([await publish('2.0.0', 'for bravo')], { cluster: 'bravo' })
    const report = await fleet.reported((one) => one.channelUnreadable?.reason === 'ChannelWrongCluster')
    expect(report.generation).toBe(generation)
    expect(release(report)).toMatchObject({ version: '1.1.0', ready: true })
    await fleet.channel([await publish('1.2.0', 'hello 1.2.0')])
    await fleet.reported(runs('1.2.0'))
  })

  it('changes its keys when two of the three old root keys say so, and not by one', async () => {
    const attempt = fleet.changeKeys(1)
    await fleet.channel([await publish('2.0.1', 'seized')])
    const report = await fleet.reported((one) => one.channelUnreadable?.reason === 'RootSignature')
    expect(release(report)).toMatchObject({ version: '1.2.0', ready: true })
    attempt.undo()
    fleet.changeKeys(2)
    await fleet.channel([await publish('1.3.0', 'hello 1.3.0')])
    await fleet.reported(runs('1.3.0'))
    // The old keys count no more, also for an agent that starts anew from what it has stored.
    await restart()
    await fleet.channel([await publish('1.3.1', 'hello 1.3.1')])
    await fleet.reported(runs('1.3.1'))
  })

  it('that has expired keeps what runs, drift corrected, takes and prunes nothing, and is said to be stale', async () => {
    const second = await publish('1.0.0', 'other', other)
    await fleet.channel([await publish('1.3.1', 'hello 1.3.1'), second])
    await fleet.reported((report) => runs('1.3.1')(report) && release(report, other)?.ready === true)
    // Accepted in its last moment: the bundle is not there yet.
    const next = await publish('1.4.0', 'hello 1.4.0')
    await fleet.unpublish(next)
    await fleet.channel([next, second])
    await fleet.reported((report) => report.generation === fleet.generation && release(report)?.ready === false)
    agent.aheadMs = 2 * day
    const expired = await fleet.reported((one) => one.channelUnreadable?.reason === 'ChannelExpired')
    expect(expired.generation).toBe(fleet.generation)
    expect((await publish('1.4.0', 'hello 1.4.0')).bundle).toEqual(next.bundle)
    const stale = await fleet.reported((one) => release(one)?.reason === 'Stale' && release(one, other)?.reason === 'Stale')
    expect(release(stale)).toMatchObject({ ready: false, version: '1.3.1' })
    expect(release(stale, other)).toMatchObject({ ready: true, message: expect.stringContaining('expired') })
    await driftIsCorrected('hello 1.3.1')

    // Whatever is offered that has expired too is not taken, nor after a restart; nothing is pruned for it.
    const expiresAt = `${new Date(Date.now() + day).toISOString().slice(0, 19)}Z`
    await fleet.channel([second], { expiresAt })
    await restart()
    const again = await fleet.reported((one) => release(one)?.reason === 'Stale' && release(one, other)?.reason === 'Stale')
    expect(again.generation).toBe(fleet.generation - 1)
    await driftIsCorrected('hello 1.3.1')

    const fresh = `${new Date(Date.now() + 3 * day).toISOString().slice(0, 19)}Z`
    await fleet.channel([next, second], { expiresAt: fresh })
    const report = await fleet.reported((one) => runs('1.4.0')(one) && one.channelUnreadable === undefined)
    expect(release(report)?.reason).toBe('Healthy')
    expect(await greeting()).toBe('hello 1.4.0')
    agent.aheadMs = 0
  })

  it('does not prune more than its share without consent, nor all without saying that it is empty', async () => {
    const generation = await fleet.channel([], { prune: { maxShare: 0.5 } })
    const waits = (one: ClusterReport, name: string) => release(one, name)?.reason === 'PruneNeedsConsent'
    await fleet.reported((one) => one.generation === generation && waits(one, shop) && waits(one, other))
    expect(await greeting()).toBe('hello 1.4.0')
    // Signed by the right key, one higher, and merely with nothing in it: that is no channel.
    await fleet.channel([], { unsaid: true })
    await fleet.reported((one) => one.channelUnreadable?.reason === 'ChannelMalformed')
    expect(await greeting()).toBe('hello 1.4.0')
    await fleet.channel([], { prune: { maxShare: 0.5, consent: generation + 2 } })
    await fleet.reported((one) => one.generation === generation + 2 && one.releases.length === 0)
    expect(await client.find(config)).toBeUndefined()
  })
})
