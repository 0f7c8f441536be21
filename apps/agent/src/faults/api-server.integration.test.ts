import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { TestApiServer } from '../../../../test/environment/api-server.ts'
import { isWrite, type Passing } from '../../../../test/environment/faulty-proxy.ts'
import type { FaultyCluster } from '../testing/faulty-cluster.ts'
import { type OwnCluster, openOwnCluster } from '../testing/own-cluster.ts'

let own: OwnCluster | undefined
let server: TestApiServer
let cluster: FaultyCluster
let still: ChannelRelease
let before: Map<string, string>

beforeAll(async () => {
  own = await openOwnCluster()
  ;({ server, cluster } = own)
  still = await release('still', 3)
  cluster.agent.start()
  await cluster.fleet.channel([still])
  await cluster.reported('still', (one) => one?.ready === true)
  before = await uidsIn('still')
})

beforeEach(() => {
  cluster.proxy.answered = () => undefined
  cluster.proxy.fault = () => undefined
})

afterAll(async () => {
  await own?.close()
})

/** A release of so many ConfigMaps, in a namespace that is there: nothing here would ever delete one. */
async function release(name: string, count: number, version = '1.0.0', more = ''): Promise<ChannelRelease> {
  await cluster.client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }).catch(() => undefined)
  const objects = Array.from({ length: count }, (_, at) => config(`c${String(at).padStart(2, '0')}`, version))
  const entry = await cluster.fleet.publish(name, version, [...objects, more].filter((one) => one !== '').join('---\n'))
  return { ...entry, settings: { drift: { mode: 'correct' } } }
}

const config = (name: string, version: string) => `apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}}
data: {version: "${version}"}
`

async function uidsIn(namespace: string): Promise<Map<string, string>> {
  const { items } = await cluster.client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace, labelSelector: 'muster.dev/release' })
  return new Map(items.map(({ metadata }) => [metadata.name, metadata.uid ?? '']))
}

const versionsIn = async (namespace: string): Promise<string[]> => {
  const { items } = await cluster.client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace, labelSelector: 'muster.dev/release' })
  return items.map((one) => String((one as KubeObject & { data: { version: string } }).data.version))
}

const ready = async (name: string, version = '1.0.0') => cluster.reported(name, (one) => one?.ready === true && one.version === version)
const writesTo = (name: string, from = 0) =>
  cluster.proxy.requests.slice(from).filter((one) => isWrite(one) && one.path.includes(`/namespaces/${name}/configmaps`))
const objectOf = ({ path: at }: Passing): string => at.split('?')[0] ?? ''

/** How often each object was written. */
function triesOf(writes: readonly Passing[]): number[] {
  const tries = new Map<string, number>()
  for (const write of writes) tries.set(objectOf(write), (tries.get(objectOf(write)) ?? 0) + 1)
  return [...tries.values()]
}

describe('an API server', () => {
  it('that is killed in the middle of an apply and comes back finds it finished, with what was made before, asked ever less often', async () => {
    const { proxy, fleet } = cluster
    const entry = await release('killed', 60)
    let killed: Promise<void> | undefined
    proxy.answered = (request) => {
      if (writesTo('killed').length < 15 || killed !== undefined || !isWrite(request)) return
      killed = server.stop('SIGKILL')
    }
    await fleet.channel([still, entry])
    await cluster.eventually('the API server is killed', async () => killed !== undefined)
    await killed
    const from = proxy.requests.length
    const since = performance.now()
    const told = await cluster.reported('killed', (one) => one?.ready === false && one.reason === 'ApplyFailed')
    expect(told?.message).toMatch(/Could not reach https/)
    await cluster.reported('still', (one) => one?.ready === true)
    await pause(Math.max(0, 8_000 - (performance.now() - since)))
    const asked = proxy.requests.length - from
    // What was made before is looked at before the agent can go on.
    proxy.fault = () => 'cut'
    await server.start()
    const made = await uidsIn('killed')
    expect(made.size).toBeLessThan(60)
    proxy.fault = () => undefined
    await ready('killed')
    const after = await uidsIn('killed')
    expect(after.size).toBe(60)
    for (const [name, uid] of made) expect(after.get(name)).toBe(uid)
    expect(await uidsIn('still')).toEqual(before)
    expect(cluster.agent.starts).toBe(1)
    expect(asked).toBeLessThan(150)
  })

  it('that takes two seconds for each answer gets each object once, and nothing is taken for missing', async () => {
    const { proxy, fleet } = cluster
    const entry = await release('slow', 5)
    proxy.fault = async () => void (await pause(2_000))
    await fleet.channel([still, entry])
    await ready('slow')
    expect(triesOf(writesTo('slow'))).toEqual([1, 1, 1, 1, 1])
    expect(await uidsIn('still')).toEqual(before)
  })

  it('that asks for patience (429) is asked again when it said, and no sooner', async () => {
    const { proxy, fleet } = cluster
    const entry = await release('busy', 6)
    const asked = new Map<string, number[]>()
    proxy.fault = (request) => {
      if (!isWrite(request) || !request.path.includes('/namespaces/busy/')) return undefined
      const times = asked.get(objectOf(request)) ?? []
      asked.set(objectOf(request), [...times, performance.now()])
      return times.length < 2 ? { status: 429, headers: { 'retry-after': '1' }, body: '{}' } : undefined
    }
    await fleet.channel([still, entry])
    await ready('busy')
    for (const [first = 0, second = 0, third = 0, ...more] of asked.values()) {
      expect(second - first).toBeGreaterThan(950)
      expect(third - second).toBeGreaterThan(950)
      expect(more).toEqual([])
    }
  })

  it.each([
    ['fails (500)', 'ill', { status: 500, body: '{}' }],
    ['is not available (503)', 'away', { status: 503, body: 'upstream connect error' }],
    ['breaks off its answers', 'torn', 'torn'],
    ['cuts connections', 'cut', 'cut'],
  ] as const)('that %s at every third request ends with what is wanted, each object tried a few times', async (_title, name, fault) => {
    const { proxy, fleet } = cluster
    const entry = await release(name, 6)
    let count = 0
    proxy.fault = () => {
      count += 1
      return count % 3 === 0 ? fault : undefined
    }
    await fleet.channel([still, entry])
    await ready(name)
    proxy.fault = () => undefined
    await fleet.channel([still, await release(name, 4, '2.0.0')])
    await ready(name, '2.0.0')
    expect(await versionsIn(name)).toEqual(['2.0.0', '2.0.0', '2.0.0', '2.0.0'])
    expect(Math.max(...triesOf(writesTo(name)))).toBeLessThan(12)
    expect(await uidsIn('still')).toEqual(before)
  })

  it('that always fails at one object is asked ever less often, however much happens to the others; it is named, others go on', async () => {
    const { proxy, fleet, client } = cluster
    const entry = await release('one', 3)
    let broken = true
    const tries: number[] = []
    proxy.fault = (request) => {
      if (!broken || !isWrite(request) || !request.path.includes('/namespaces/one/configmaps/c01')) return undefined
      tries.push(performance.now())
      return { status: 500, body: JSON.stringify({ kind: 'Status', reason: 'InternalError', message: 'the disk of etcd is on fire' }) }
    }
    await fleet.channel([still, entry])
    const told = await cluster.reported('one', (one) => one?.reason === 'ApplyFailed')
    expect(told?.message).toMatch(/ConfigMap one\/c01 .*the disk of etcd is on fire/)
    const from = tries.length
    const since = performance.now()
    const ref = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'one', name: 'c00' }
    for (let at = 0; performance.now() - since < 6_000; at += 1) {
      await client.patch(ref, { metadata: { annotations: { 'example.test/at': String(at) } } }, { type: 'merge' })
      await pause(50)
    }
    // After one, two and four seconds, and each time four requests.
    expect(tries.length - from).toBeLessThanOrEqual(16)
    const other = await release('other', 2)
    await fleet.channel([still, entry, other])
    await ready('other')
    broken = false
    await ready('one')
  })

  it('that takes no Release object is named in the report, and nothing is made that nobody would know', async () => {
    const { proxy, fleet } = cluster
    const entry = await release('unknown', 2)
    let broken = true
    const tries: number[] = []
    proxy.fault = (request) => {
      if (!broken || !isWrite(request) || !request.path.includes('/releases/unknown')) return undefined
      tries.push(performance.now())
      return { status: 403, body: JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: 'releases are not for you' }) }
    }
    await fleet.channel([still, entry])
    const told = await cluster.reported('unknown', (one) => one?.ready === false && one.message.includes('releases are not for you'))
    expect(told?.reason).toBe('ApplyFailed')
    expect((await uidsIn('unknown')).size).toBe(0)
    const from = tries.length
    await pause(3_000)
    expect(tries.length - from).toBeLessThan(10)
    broken = false
    await ready('unknown')
  })
})
