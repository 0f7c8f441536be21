import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject, Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePorts } from '../../../../test/peers/process.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'

/** A watch that is silent for so long, in milliseconds, is taken for dead: minutes, where nobody waits for it. */
const silenceMs = 4_000

let cluster: FaultyCluster
let shop: string
let metricsUrl: string

const manifest = (name: string, value: string): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { value } })
const config = (name: string): Ref => ({ apiVersion: 'v1', kind: 'ConfigMap', name, namespace: shop })
const valueIn = async (name: string): Promise<unknown> =>
  ((await cluster.client.find(config(name)))?.['data'] as { value?: string } | undefined)?.value

beforeAll(async () => {
  const [port] = await freePorts(1)
  metricsUrl = `http://127.0.0.1:${port}/metrics`
  cluster = await openFaultyCluster(undefined, { MUSTER_WATCH_SILENCE_MS: String(silenceMs), MUSTER_PROBE_PORT: String(port) })
  shop = `shop-${cluster.id}`
  const { fleet, agent } = cluster
  agent.start()
  await fleet.channel([await fleet.publish(shop, '1.0.0', ['a', 'b'].map((name) => manifest(name, 'signed')).join('\n---\n'))])
  await cluster.reported(shop, (release) => release?.ready === true)
})

afterAll(async () => cluster.close([shop]))

/** A metric by its labels. */
async function metric(name: string): Promise<Map<string, number>> {
  const text = await (await fetch(metricsUrl)).text()
  return new Map(
    text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`))
      .map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]),
  )
}

const ofReleases = (labels: string): boolean => labels.includes('kind="ConfigMap"') && labels.includes('selector="muster.dev/release"')

async function ageOfWatch(): Promise<number> {
  return [...(await metric('muster_agent_watch_age_seconds'))].find(([labels]) => ofReleases(labels))?.[1] ?? Number.NaN
}

/** How often the server is asked for something that is watched, by what it is. */
function asked(since: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { method, path, watch } of cluster.proxy.requests.slice(since)) {
    if (method !== 'GET' || !(watch || path.includes('limit='))) continue
    const what = path.replace(/\?.*/, '') + (path.includes('muster.dev%2Frelease') ? ' of releases' : '')
    counts.set(what, (counts.get(what) ?? 0) + 1)
  }
  return counts
}

describe('pain 9, watches die silently', () => {
  it('does not come about: connections that stay open and tell nothing are replaced, and what happened meanwhile is seen', async () => {
    const { proxy, client, eventually } = cluster
    const watches = [...proxy.watches]
    expect(watches.length).toBeGreaterThan(3)
    const since = proxy.requests.length
    for (const watch of watches) watch.stall()
    await client.patch(config('a'), { data: { value: 'by hand' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
    await client.delete(config('b'))
    await eventually('drift is seen', async () => (await valueIn('a')) === 'signed' && (await valueIn('b')) === 'signed')
    await eventually('all watches are replaced', async () => watches.every(({ closed }) => closed))
    // Silent once, each goes on from where it was; silent twice, all is read anew. More than that in this time would be a storm.
    for (const [what, times] of asked(since)) expect(times, what).toBeLessThanOrEqual(6)
  })

  it('brings no storm when all connections break at once', async () => {
    const { proxy, eventually } = cluster
    const watches = [...proxy.watches]
    const since = proxy.requests.length
    for (const watch of watches) watch.cut()
    await eventually('each has another', async () => proxy.watches.length >= watches.length)
    await pause(2_000)
    for (const [what, times] of asked(since)) expect(times, what).toBeLessThanOrEqual(3)
  })

  it('shows the age of each watch', async () => {
    const { proxy, eventually } = cluster
    const ages = await metric('muster_agent_watch_age_seconds')
    // Of a kind that is not served here nothing was ever heard.
    const heard = [...ages.values()].filter((age) => Number.isFinite(age))
    expect(heard.length).toBeGreaterThan(3)
    expect(Math.max(...heard)).toBeLessThan(60)
    proxy.fault = ({ watch }) => (watch ? { status: 503 } : undefined)
    for (const watch of proxy.watches) watch.cut()
    await eventually('it grows', async () => (await ageOfWatch()) > 3)
    proxy.fault = () => undefined
    await eventually('it is young again', async () => (await ageOfWatch()) < 2)
  })
})

describe('pain 8, controllers eat memory', () => {
  it('does not come about by what others have: of a kind only objects of releases are kept', async () => {
    const { client, fleet, eventually } = cluster
    const others = Array.from({ length: 300 }, (_, at) => at)
    const object = (at: number): KubeObject => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `theirs-${at}`, namespace: shop },
      data: { value: 'x'.repeat(1_000) },
    })
    for (let at = 0; at < others.length; at += 20) await Promise.all(others.slice(at, at + 20).map((one) => client.create(object(one))))
    await fleet.channel([await fleet.publish(shop, '1.1.0', ['a', 'b', 'c'].map((name) => manifest(name, 'new')).join('\n---\n'))])
    await cluster.reported(shop, (release) => release?.version === '1.1.0' && release.ready)
    await eventually('the new one is known', async () => {
      const found = [...(await metric('muster_agent_watch_objects'))].filter(([labels]) => ofReleases(labels))
      return found.some(([, objects]) => objects >= 3)
    })
    for (const [labels, objects] of await metric('muster_agent_watch_objects')) {
      if (labels.includes('kind="ConfigMap"')) expect(objects, labels).toBeLessThan(100)
    }
  })
})
