import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type DependencyState, type ReleaseReport, type ReleaseSettings } from '@muster/api'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const cluster = `bravo-${id}`
const [client, db, web] = [`client-${id}`, `db-${id}`, `web-${id}`]

let api: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const object = (value: string) => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {value: "${value}"}\n`
const valueIn = async (namespace: string): Promise<string | undefined> =>
  ((await api.find({ apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace }))?.['data'] as { value?: string } | undefined)?.value

/** A release whose Deployment becomes healthy only with an image that somebody can pull: never. */
const stuck =
  'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: one}\nspec: {replicas: 1, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {nodeSelector: {example.test/node: none}, containers: [{name: a, image: "registry.example/a:1"}]}}}\n'

const depending = (entry: ChannelRelease, ...dependsOn: { release: string; cluster?: string }[]): ChannelRelease => ({
  ...entry,
  settings: { dependsOn },
})
const of = (report: ClusterReport, name: string): ReleaseReport | undefined => report.releases.find((one) => one.name === name)

/** The hub has answered a report since: the agent knows what is said now. */
async function heard(): Promise<void> {
  const before = fleet.reports.length
  await eventually(async () => fleet.reports.length > before)
}

const state = (change: Partial<DependencyState>): DependencyState => ({
  cluster: 'alpha',
  release: 'db',
  ready: false,
  reason: 'NotReady',
  message: 'alpha has not taken it yet.',
  observedAt: new Date().toISOString(),
  ageSeconds: 0,
  ...change,
})

beforeAll(async () => {
  ;({ client: api, fleet, agent, end } = await startCluster(id, { cluster }))
  agent.start()
})

afterAll(async () => end(client, db, web))

describe('a release that depends on one of another cluster', () => {
  it('waits until the hub says that it is ready there, says for what and since when, and then goes on by itself', async () => {
    fleet.dependencies = [state({})]
    await fleet.channel([depending(await fleet.publish(client, '1.0.0', object('1')), { release: 'db', cluster: 'alpha' })])
    const waiting = await fleet.reported((one) => of(one, client)?.message.includes('alpha has not taken it yet') === true)
    expect(of(waiting, client)).toMatchObject({
      ready: false,
      reason: 'DependencyNotReady',
      waitingFor: { what: 'Dependency', names: ['alpha/db'] },
    })
    expect(await valueIn(client)).toBeUndefined()
    fleet.dependencies = [state({ ready: true, reason: 'Ready' })]
    await fleet.reported((one) => of(one, client)?.ready === true)
    expect(await valueIn(client)).toBe('1')
  })

  it('runs on while that is not ready any more, and has its newer version wait', async () => {
    fleet.dependencies = [state({})]
    await heard()
    await fleet.channel([depending(await fleet.publish(client, '2.0.0', object('2')), { release: 'db', cluster: 'alpha' })])
    await fleet.reported((one) => of(one, client)?.reason === 'DependencyNotReady')
    expect(await valueIn(client)).toBe('1')
    // What runs is kept as it is meanwhile.
    const one = { apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace: client }
    await api.patch(one, { data: { value: 'meddled' } }, { type: 'merge', fieldManager: 'meddler' })
    await eventually(async () => (await valueIn(client)) === '1')
  })

  it('waits when the hub is out of reach, and says so; what it heard before the agent started anew does not count', async () => {
    fleet.dependencies = [state({ ready: true, reason: 'Ready' })]
    fleet.away = true
    await agent.end()
    agent.start()
    const release = async () =>
      (await api.find({ apiVersion, kind: 'Release', name: client })) as { status?: { conditions?: { message: string }[] } }
    await eventually(
      async () => (await release()).status?.conditions?.[0]?.message.includes('the hub has not answered since the agent started') === true,
    )
    expect(await valueIn(client)).toBe('1')
    fleet.away = false
    await fleet.reported((one) => of(one, client)?.version === '2.0.0' && of(one, client)?.ready === true)
    expect(await valueIn(client)).toBe('2')
  })

  it('is refused where the hub knows that they wait for each other', async () => {
    fleet.dependencies = [state({ reason: 'DependencyCycle', message: 'Each waits for the next: bravo/client → alpha/db → bravo/client.' })]
    await heard()
    await fleet.channel([depending(await fleet.publish(client, '3.0.0', object('3')), { release: 'db', cluster: 'alpha' })])
    const refused = await fleet.reported((one) => of(one, client)?.reason === 'DependencyCycle')
    expect(of(refused, client)?.message).toContain('bravo/client → alpha/db → bravo/client')
    expect(await valueIn(client)).toBe('2')
  })
})

describe('a release that depends on one of its own cluster', () => {
  it('waits with a newer version for the newer version of the other, and not for another release', async () => {
    fleet.dependencies = []
    const other = await fleet.publish(client, '4.0.0', object('4'))
    const [one, needs] = [await fleet.publish(db, '1.0.0', object('1')), await fleet.publish(web, '1.0.0', object('1'))]
    await fleet.channel([other, one, depending(needs, { release: db })])
    await fleet.reported((report) => [client, db, web].every((name) => of(report, name)?.ready === true))
    const newer = await fleet.publish(db, '2.0.0', stuck)
    await fleet.channel([other, newer, depending(await fleet.publish(web, '2.0.0', object('2')), { release: db })])
    const waiting = await fleet.reported((report) => of(report, web)?.reason === 'DependencyNotReady')
    expect(of(waiting, web)).toMatchObject({ version: '1.0.0', message: expect.stringContaining(`${db} (version 2.0.0 is not ready yet`) })
    expect(of(waiting, client)?.ready).toBe(true)
    expect(await valueIn(web)).toBe('1')
    // A version that becomes ready ends the wait at once.
    const began = performance.now()
    await fleet.channel([
      other,
      await fleet.publish(db, '2.0.1', object('2')),
      depending(await fleet.publish(web, '2.0.0', object('2')), { release: db }),
    ])
    await fleet.reported((report) => of(report, web)?.version === '2.0.0' && of(report, web)?.ready === true)
    expect(performance.now() - began).toBeLessThan(30_000)
  })

  it('is refused with the circle printed where they wait for each other; what runs is kept', async () => {
    const [one, two] = [await fleet.publish(db, '3.0.0', object('3')), await fleet.publish(web, '3.0.0', object('3'))]
    await fleet.channel([depending(one, { release: web }), depending(two, { release: db })])
    const refused = await fleet.reported((report) => [db, web].every((name) => of(report, name)?.reason === 'DependencyCycle'))
    expect(of(refused, db)?.message).toContain(`${db} → ${web} → ${db}`)
    expect(await valueIn(db)).toBe('2')
  })

  it('waits where only the settings of the other change, until it is ready with these', async () => {
    const other = await fleet.publish(client, '4.0.0', object('4'))
    const idle = await fleet.publish(db, '2.1.0', stuck.replace('replicas: 1', 'replicas: 0'))
    const needs = depending(await fleet.publish(web, '2.0.0', object('2')), { release: db })
    await fleet.channel([other, idle, needs])
    await fleet.reported((report) => of(report, db)?.version === '2.1.0' && [db, web].every((name) => of(report, name)?.ready === true))
    const newer = depending(await fleet.publish(web, '2.1.0', object('3')), { release: db })
    const customize: ReleaseSettings['customize'] = [{ name: 'busy', level: 'all', overlay: { replicas: [{ name: 'one', count: 1 }] } }]
    const suspend = { reason: 'freeze' }
    await fleet.channel([other, { ...idle, settings: { customize } }, newer])
    const waiting = await fleet.reported(
      (report) => of(report, web)?.message.includes('version 2.1.0 is not ready yet: Progressing') === true,
    )
    expect(of(waiting, web)).toMatchObject({ version: '2.0.0', reason: 'DependencyNotReady' })
    expect(await valueIn(web)).toBe('2')
    // That it is suspended makes nothing of what runs another; settings that are not applied do.
    await fleet.channel([other, { ...idle, settings: { customize, suspend } }, newer])
    await fleet.reported((report) => of(report, db)?.reason === 'Suspended')
    expect(await valueIn(web)).toBe('2')
    await fleet.channel([other, { ...idle, settings: { suspend } }, newer])
    const frozen = await fleet.reported((report) => of(report, db)?.message.includes('Other settings are wanted') === true)
    expect(of(frozen, db)).toMatchObject({ ready: false, reason: 'Suspended' })
    await fleet.channel([other, idle, newer])
    await fleet.reported((report) => of(report, web)?.version === '2.1.0' && of(report, web)?.ready === true)
    await fleet.channel([other, { ...idle, settings: { suspend } }, newer])
    const still = await fleet.reported((report) => of(report, db)?.reason === 'Suspended')
    expect(of(still, db)?.ready).toBe(true)
  })
})
