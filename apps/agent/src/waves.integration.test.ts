import { randomBytes } from 'node:crypto'
import { apiVersion, type ClusterReport, type Release, type ReleaseReport } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'
import { onNoNode, sayOfPods } from './testing/kubelet.ts'

const id = randomBytes(4).toString('hex')
const [shop, other] = [`waves-${id}`, `plain-${id}`]

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

const deployment = (name: string, wave: number | undefined, replicas: number, image = '1') => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${name}
  annotations: {${wave === undefined ? '' : `muster.dev/wave: "${wave}"`}}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec:
      ${onNoNode}
      containers: [{name: app, image: "registry.example/app:${image}"}]
---`

const exists = async (name: string, namespace = shop): Promise<KubeObject | undefined> =>
  client.find({ apiVersion: 'apps/v1', kind: 'Deployment', name, namespace })

const reportOf = (report: ClusterReport, name = shop): ReleaseReport | undefined => report.releases.find((one) => one.name === name)
const release = async (): Promise<Release | undefined> =>
  (await client.find({ apiVersion, kind: 'Release', name: shop })) as unknown as Release | undefined
const ready = (app: string) => eventually(async () => (await sayOfPods(client, shop, `app=${app}`, 'Running')) > 0)

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop, other))

describe('waves', () => {
  it('come one after the other, each when the one before is healthy; other releases do not wait', async () => {
    const waves = [deployment('db', undefined, 1), deployment('api', 1, 1), deployment('web', 2, 0)].join('')
    const entry = await fleet.publish(shop, '1.0.0', waves)
    await fleet.channel([entry, await fleet.publish(other, '1.0.0', deployment('alone', undefined, 0))])
    const waiting = await fleet.reported((one) => reportOf(one)?.waitingFor !== undefined && reportOf(one, other)?.ready === true)
    expect(reportOf(waiting)).toMatchObject({
      ready: false,
      reason: 'Progressing',
      message: expect.stringMatching(/^Wave 1 waits .*Deployment .*\/db/),
      waitingFor: { what: 'Wave', names: [`Deployment ${shop}/db`] },
    })
    expect(await exists('api')).toBeUndefined()
    await ready('db')
    await eventually(() => exists('api'))
    expect(await exists('web')).toBeUndefined()
  })

  it('go on where they were when the agent was killed, and nothing is applied twice that is as it should be', async () => {
    const since = (await eventually(async () => (await release())?.status?.waitingFor)).since
    const before = (await exists('db'))?.metadata.generation
    await agent.end()
    agent.applied.length = 0
    agent.start()
    const again = await fleet.reported((one) => reportOf(one)?.waitingFor?.names[0] === `Deployment ${shop}/api`)
    expect(reportOf(again)?.waitingFor?.since).toBe(since)
    expect(await exists('web')).toBeUndefined()
    expect((await exists('db'))?.metadata.generation).toBe(before)
    await ready('api')
    const done = await fleet.reported((one) => reportOf(one)?.ready === true)
    expect(reportOf(done)).toMatchObject({ version: '1.0.0', reason: 'Healthy' })
    expect(reportOf(done)?.waitingFor).toBeUndefined()
    expect(await exists('web')).toBeDefined()
  })

  it('are not waited for by a newer version: it ends the wait of one that never becomes healthy at once', async () => {
    const stuck = [deployment('db', undefined, 2), deployment('api', 1, 0)].join('')
    await fleet.channel([await fleet.publish(shop, '2.0.0', stuck)])
    await fleet.reported((one) => reportOf(one)?.waitingFor !== undefined)
    // What the earlier version had stays until the new one is in.
    expect(await exists('web')).toBeDefined()
    const fixed = [deployment('db', undefined, 1), deployment('api', 1, 0)].join('')
    const began = performance.now()
    await fleet.channel([await fleet.publish(shop, '3.0.0', fixed)])
    await fleet.reported((one) => reportOf(one)?.version === '3.0.0' && reportOf(one)?.ready === true)
    expect(performance.now() - began).toBeLessThan(30_000)
    await eventually(async () => (await exists('web')) === undefined)
  })

  it('go away in the reverse order: nothing of a wave is deleted before what came after it is gone', async () => {
    const api = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'api', namespace: shop }
    await client.patch(api, { metadata: { finalizers: ['example.test/hold'] } }, { type: 'merge' })
    await fleet.channel([])
    await fleet.reported((one) => reportOf(one)?.message.includes('example.test/hold') === true)
    expect((await exists('db'))?.metadata.deletionTimestamp).toBeUndefined()
    await client.patch(api, { metadata: { finalizers: null } }, { type: 'merge' })
    await eventually(async () => (await exists('db')) === undefined)
  })
})
