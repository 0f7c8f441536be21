import { randomBytes } from 'node:crypto'
import { apiVersion, type InventoryEntry, releaseReasons } from '@muster/api'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ReleaseObjects } from './release/release-object.ts'
import { ReleaseRuntime } from './release/runtime.ts'
import { listedBytes, tooLarge } from './release/size.ts'
import { eventually, startCluster, type TestCluster } from './testing/cluster.ts'

const id = randomBytes(4).toString('hex')
const shop = `shop-${id}`
const listed = `listed-${id}`
const signal = new AbortController().signal

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  agent.start()
})

afterAll(async () => end(shop, listed))

const configMap = (name: string, value: string): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } })

const named = (at: number, length: number): string => `${'x'.repeat(length - 5)}${String(at).padStart(5, '0')}`

/** How many bytes the API server has of it. */
async function storedBytes(kind: string, version: string, name: string, namespace?: string): Promise<number> {
  const object = await client.get({ apiVersion: version, kind, name, ...(namespace === undefined ? {} : { namespace }) })
  return Buffer.byteLength(JSON.stringify(object))
}

async function names(): Promise<string[]> {
  const { items } = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace: shop, labelSelector: 'muster.dev/release' })
  return items.map(({ metadata }) => metadata.name).sort()
}

describe('pain 6, objects too large and etcd full', () => {
  it('does not come about by large objects: what the cluster stores beside them stays small', async () => {
    // As large as the API server takes a ConfigMap, and more than etcd takes in one request with a second copy of it.
    const large = ['a', 'b'].map((name) => configMap(name, randomBytes(510_000).toString('hex')))
    await fleet.channel([await fleet.publish(shop, '1.0.0', large.join('\n---\n'))])
    await fleet.reported(({ releases }) => releases[0]?.version === '1.0.0' && releases[0].ready)
    expect(await storedBytes('Release', apiVersion, shop)).toBeLessThan(6_000)
    expect(await storedBytes('ConfigMap', 'v1', 'muster-agent-state', `agent-${id}`)).toBeLessThan(16_000)
    expect(await storedBytes('ConfigMap', 'v1', 'a', shop)).toBeLessThan(1_020_000 + 2_000)
  })

  it('does not come about by many objects: what could not be listed is refused by name before anything of it is applied', async () => {
    const many = Array.from({ length: 2_800 }, (_, at) => configMap(named(at, 240), '1'))
    await fleet.channel([await fleet.publish(shop, '2.0.0', many.join('\n---\n'))])
    const report = await fleet.reported(({ releases }) => releases[0]?.reason === releaseReasons.tooLarge)
    expect(report.releases[0]).toMatchObject({
      version: '1.0.0',
      ready: false,
      message: expect.stringMatching(/^Version 2\.0\.0 is not applied: .*release shop-\w+ would have 2803 objects.*Split the bundle/),
    })
    expect(await names()).toEqual(['a', 'b'])
    // What runs is kept right all the same, and what is small enough is taken at once.
    await client.delete({ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: shop })
    await eventually(async () => (await names()).length === 2)
    await fleet.channel([await fleet.publish(shop, '3.0.0', configMap('a', 'small'))])
    await fleet.reported(({ releases }) => releases[0]?.version === '3.0.0' && releases[0].ready)
  })

  it.each([20, 240])('a list that is just not refused is stored, with names of %i characters', async (length) => {
    const entry = (at: number): InventoryEntry => ({ apiVersion: 'v1', kind: 'ConfigMap', namespace: listed, name: named(at, length) })
    const each = listedBytes(Array.from({ length: 1_000 }, (_, at) => entry(at))) / 1_000
    let inventory = Array.from({ length: Math.floor(1_400_000 / each) + 10 }, (_, at) => entry(at))
    expect(tooLarge(inventory, { name: listed, version: '1' })).toBeDefined()
    while (tooLarge(inventory, { name: listed, version: '1' }) !== undefined) inventory = inventory.slice(0, -1)
    const objects = new ReleaseObjects(client, fleet.cluster, () => new Date())
    const runtime = new ReleaseRuntime(listed)
    const digest = `sha256:${'0'.repeat(64)}`
    const bundle = { repository: 'bundles/listed', version: '1.0.0', digest, size: 1 }
    runtime.inventory = inventory
    runtime.announced = `${length}`
    await objects.ensure({ name: listed, bundle, namespace: listed }, runtime, 1, { newest: false, grown: true, signal })
    runtime.inventory = inventory.map((one) => ({ ...one, uid: '0'.repeat(36), ownership: '0'.repeat(24) }))
    await objects.write(listed, runtime, { ready: true, reason: releaseReasons.healthy, message: 'x'.repeat(32_768) }, signal)
    expect(await storedBytes('Release', apiVersion, listed)).toBeGreaterThan(1_350_000)
    await client.delete({ apiVersion, kind: 'Release', name: listed })
  })
})
