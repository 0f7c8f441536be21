import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion } from '@muster/api'
import type { KubeObject, Ref } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isWrite } from '../../../../test/environment/faulty-proxy.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'

/** Nothing happens here where nothing should, so that it can only be looked at for a while. Milliseconds. */
const quietMs = 1_000

const bundleYaml = `
parameters:
  - name: host
    schema: {type: string}
    default: nowhere
    set: [{target: {kind: ConfigMap, name: one}, path: data.host}]
`
const manifest = (version: string): string =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data: { host: '', version } })

let cluster: FaultyCluster
let shop: string
let config: Ref
let overlay: Ref

const hostOf = async (): Promise<unknown> => ((await cluster.client.find(config))?.['data'] as { host?: string } | undefined)?.host

beforeAll(async () => {
  cluster = await openFaultyCluster()
  shop = `shop-${cluster.id}`
  config = { apiVersion: 'v1', kind: 'ConfigMap', name: 'one', namespace: shop }
  overlay = { apiVersion, kind: 'SiteOverlay', name: shop }
  const { agent, fleet } = cluster
  agent.start()
  await fleet.channel([await fleet.publish(shop, '1.0.0', manifest('1'), { bundleYaml })])
  await cluster.reported(shop, (release) => release?.ready === true)
})

afterAll(async () => {
  await cluster.client.delete(overlay)
  await cluster.close([shop])
})

/**
 * Starts the agent anew while the API server takes its time to tell which overlays the site has.
 * @returns what the agent wrote of the release and its objects, until it reports again how that stands
 */
async function writesOfRestart(reason: string): Promise<string[]> {
  const { agent, fleet, proxy, eventually } = cluster
  await agent.end('SIGKILL')
  const [requests, reports] = [proxy.requests.length, fleet.reports.length]
  let open = (): void => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  let asked = false
  proxy.fault = async ({ path }) => {
    if (!path.includes('/siteoverlays')) return undefined
    asked = true
    await opened
    return undefined
  }
  agent.start()
  await eventually(
    'the overlays are asked for, and the hub is told that the agent is there',
    async () => asked && fleet.reports.length > reports,
  )
  await pause(quietMs)
  open()
  await eventually('it stands as before', async () => fleet.reports.slice(reports).some(({ releases }) => releases[0]?.reason === reason))
  return proxy.requests
    .slice(requests)
    .filter((one) => isWrite(one) && one.path.includes(shop))
    .map(({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`)
}

describe('an agent that starts anew', () => {
  it('writes nothing of a release that is as it was, though what the site says is read a moment later', async () => {
    const ref = { apiVersion, kind: 'Release', name: shop }
    const before = await cluster.client.get(ref)
    expect(await writesOfRestart('Healthy')).toEqual([])
    expect((await cluster.client.get(ref)).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
  })

  it('does not take away what the site makes different in what runs, while a newer version waits for another release', async () => {
    const { client, eventually, fleet, proxy } = cluster
    const spec = { release: shop, reason: 'a host of its own', values: { host: 'site' } }
    await client.create({ apiVersion, kind: 'SiteOverlay', metadata: { name: shop }, spec } as unknown as KubeObject)
    await eventually('the overlay is in force', async () => (await hostOf()) === 'site')
    const newer = await fleet.publish(shop, '2.0.0', manifest('2'), { bundleYaml })
    await fleet.channel([{ ...newer, settings: { dependsOn: [{ release: 'db', cluster: 'elsewhere' }] } }])
    await cluster.reported(shop, (release) => release?.reason === 'DependencyNotReady')
    const before = await client.get(config)
    const kept = new Promise<void>((resolve) => {
      proxy.answered = ({ method, path }) => {
        if (method === 'PATCH' && path.includes('/configmaps/')) resolve()
      }
    })
    await writesOfRestart('DependencyNotReady')
    await kept
    expect((await client.get(config)).metadata.resourceVersion).toBe(before.metadata.resourceVersion)
  })
})
