import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { apiVersion, type Release } from '@muster/api'
import { type ClusterStatus, type FleetStatus, type PublishedBundle, place } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually, run } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { type MisbehavingRegistry, misbehavingRegistry } from '../environment/misbehaving-registry.ts'
import { SmallBundles } from '../environment/small-bundle.ts'

/**
 * Each outage comes in the middle of a rollout: the hub has been asked for the next version, and the clusters do not have it yet.
 * What is promised of each: nothing is deleted, drift is corrected, status says how old it is, and all clusters get the version
 * without anybody doing anything once the outage is over.
 */
const instance = sharedInstance()
const name = 'outages'
const both = ['alpha', 'bravo']
const configMap = { apiVersion: 'v1', kind: 'ConfigMap', namespace: name, name: 'held' }
const clients = new Map<string, KubeClient>()
const versions: PublishedBundle[] = []
let bundles: SmallBundles
let current: string
let identities: unknown

interface Held extends KubeObject {
  readonly data: { readonly version: string }
}

function client(cluster: string): KubeClient {
  const found = clients.get(cluster)
  if (!found) throw new Error(`there is no client of ${cluster}`)
  return found
}

beforeAll(async () => {
  bundles = await SmallBundles.open(instance, name)
  for (const cluster of ['hub', ...both]) clients.set(cluster, await instance.client(cluster))
  for (let minor = 0; minor <= 7; minor += 1) {
    const version = `1.${minor}.0`
    versions.push(await bundles.publish(version, `${held(version)}---\n${companion}`))
  }
  await placeNext()
  await arrives(both)
})

afterAll(async () => {
  await instance.succeed('place', name, '--nowhere')
  await bundles.close()
  for (const one of clients.values()) one.close()
})

beforeEach(async () => {
  identities = await everything()
})

describe('with the hub down', () => {
  afterEach(() => scale('hub', 'muster-system', 'muster-hub', 1))

  it('clusters keep what they run, and get the next version when it is back', async () => {
    await scale('hub', 'muster-system', 'muster-hub', 0)
    const down = performance.now()
    await placeNext()
    await driftIsCorrected('alpha')
    // More than the time between two reports, so that one must be missing.
    const age = await eventually(
      async () => {
        const { reportAgeSeconds = 0 } = await status('alpha')
        return reportAgeSeconds >= 20 ? reportAgeSeconds : undefined
      },
      { withinMs: 60_000, everyMs: 500, what: 'status tells that the report of alpha is old' },
    )
    expect(age).toBeGreaterThanOrEqual(Math.floor((performance.now() - down) / 1000) - 1)
    await nothingChanged()
    await scale('hub', 'muster-system', 'muster-hub', 1)
    await arrives(both)
    await reportsAreFresh()
  })
})

describe('with a registry that', () => {
  let registry: MisbehavingRegistry

  beforeAll(async () => {
    await instance.succeed('component', 'stop', 'registry')
    registry = await misbehavingRegistry(instance.state)
  })

  afterAll(async () => {
    await registry.close()
    await instance.succeed('component', 'start', 'registry')
  })

  it('answers 500, nothing is deleted, and agents ask ever less often', async () => {
    registry.behave('errors')
    await placeNext()
    await troubleOf('alpha', 'ServerError')
    await driftIsCorrected('alpha')
    const windowMs = 15_000
    const asked = registry.requests.length
    const since = performance.now()
    await eventually(async () => (performance.now() - since > windowMs ? true : undefined), {
      withinMs: 2 * windowMs,
      everyMs: 500,
      what: 'there was time to ask often',
    })
    const perSecond = new Map<string, number>()
    for (const { from } of registry.requests.slice(asked)) perSecond.set(from, (perSecond.get(from) ?? 0) + 1000 / windowMs)
    console.log('requests a second while the registry answers 500:', Object.fromEntries(perSecond))
    // Five tries for one poll, which take two seconds at least, and a second or more until the next: from each agent, and from the hub, which
    // asks for one of its channels at a time once the registry has failed.
    for (const [from, rate] of perSecond) expect(rate, `requests a second from ${from}`).toBeLessThan(2.5)
    await nothingChanged()
    await recovers()
  })

  it('is empty, nothing is deleted', async () => {
    registry.behave('empty')
    await placeNext()
    await troubleOf('alpha', 'NotFound')
    await driftIsCorrected('alpha')
    await nothingChanged()
    await recovers()
  })

  it('answers with wrong bytes, none of them is believed', async () => {
    registry.behave('wrong bytes')
    await placeNext()
    await troubleOf('alpha', 'DataDamaged')
    await driftIsCorrected('alpha')
    await nothingChanged()
    await recovers()
  })

  it('sends one byte a second, status says that nothing comes', async () => {
    registry.behave('trickle')
    await placeNext()
    await troubleOf('alpha', 'Timeout')
    await driftIsCorrected('alpha')
    await nothingChanged()
    await recovers()
  })

  async function recovers(): Promise<void> {
    registry.behave('honest')
    await arrives(both)
    await noTrouble()
  }
})

describe('with DNS gone', () => {
  afterEach(() => scale('alpha', 'kube-system', 'coredns', 1))

  it('a rollout goes on, and drift is corrected', async () => {
    await scale('alpha', 'kube-system', 'coredns', 0)
    await placeNext()
    await arrives(both)
    await driftIsCorrected('alpha')
    await scale('alpha', 'kube-system', 'coredns', 1)
  })
})

describe('with the link of a cluster cut', () => {
  let link: string

  beforeAll(async () => {
    const { x } = JSON.parse(await readFile(path.join(instance.state, 'instance.json'), 'utf8')) as { x: number }
    const desired = JSON.parse(await readFile(path.join(instance.state, 'host.json'), 'utf8')) as {
      clusters: { name: string; index: number }[]
    }
    link = `mu${x}c${desired.clusters.find((cluster) => cluster.name === 'alpha')?.index}n0`
  })

  afterEach(() => setLink('up'))

  it('it is shown as silent, the others go on, and it catches up and corrects what happened meanwhile', async () => {
    const held = current
    await eventually(
      async () => ((await status('alpha')).releases.find((release) => release.name === name)?.version === held ? true : undefined),
      { withinMs: 60_000, everyMs: 200, what: `alpha has reported ${held}` },
    )
    await setLink('down')
    await placeNext()
    await arrives(['bravo'])
    await change('alpha')
    const silent = await eventually(
      async () => {
        const now = await status('alpha')
        return now.reason === 'Silent' ? now : undefined
      },
      { withinMs: 90_000, everyMs: 500, what: 'alpha is shown as silent' },
    )
    expect(silent.ready).toBe(false)
    expect(silent.reportAgeSeconds).toBeGreaterThanOrEqual(30)
    expect(silent.releases.find((release) => release.name === name)).toMatchObject({ ready: false, version: held })
    expect((await client('alpha').get<Held>(configMap)).data.version).toBe('changed by hand')
    await setLink('up')
    await arrives(both)
    await reportsAreFresh()
  })

  async function setLink(state: 'up' | 'down'): Promise<void> {
    const outcome = await run('ip', ['link', 'set', link, state])
    expect(outcome.stderr).toBe('')
  }
})

function held(version: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: held\ndata:\n  version: ${version}\n`
}

const companion = 'apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: companion\n'

/** Asks the hub's API for the next version; whether anything comes of it is what the tests are about. */
async function placeNext(): Promise<void> {
  const bundle = versions.shift()
  if (!bundle) throw new Error('there is no further version')
  await place(client('hub'), { name, bundle, namespace: name, clusters: both, drift: 'correct' }, AbortSignal.timeout(30_000))
  current = bundle.version
}

async function arrives(clusters: readonly string[]): Promise<void> {
  for (const cluster of clusters) {
    await eventually(async () => ((await client(cluster).find<Held>(configMap))?.data.version === current ? true : undefined), {
      withinMs: 120_000,
      everyMs: 200,
      what: `${cluster} has ${current}`,
    })
  }
}

async function change(cluster: string): Promise<string> {
  const { data } = await client(cluster).get<Held>(configMap)
  await client(cluster).patch(configMap, { data: { version: 'changed by hand' } }, { type: 'merge' })
  return data.version
}

async function driftIsCorrected(cluster: string): Promise<void> {
  const before = await change(cluster)
  await eventually(async () => ((await client(cluster).get<Held>(configMap)).data.version === before ? true : undefined), {
    withinMs: 15_000,
    what: `the ConfigMap in ${cluster} is what was signed`,
  })
}

/** Which objects the releases hold in both clusters, and that they are there. */
async function everything(): Promise<unknown> {
  return Promise.all(
    both.map(async (cluster) => {
      const { status: held } = await client(cluster).get<Release & KubeObject>({ apiVersion, kind: 'Release', name })
      const inventory = held?.inventory ?? []
      const uids = await Promise.all(inventory.map(async (entry) => (await client(cluster).find(entry))?.metadata.uid))
      return { cluster, inventory: inventory.map(({ kind, name }) => `${kind}/${name}`), uids }
    }),
  )
}

async function nothingChanged(): Promise<void> {
  expect(await everything()).toEqual(identities)
}

async function status(cluster: string): Promise<ClusterStatus> {
  const fleet = JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
  const found = fleet.clusters.find((one) => one.name === cluster)
  if (!found) throw new Error(`status shows no cluster ${cluster}`)
  return found
}

async function troubleOf(cluster: string, reason: string): Promise<void> {
  await eventually(async () => ((await status(cluster)).channelUnreadable?.reason === reason ? true : undefined), {
    withinMs: 90_000,
    everyMs: 500,
    what: `status says of the channel of ${cluster}: ${reason}`,
  })
}

async function noTrouble(): Promise<void> {
  await eventually(async () => ((await status('alpha')).channelUnreadable ? undefined : true), {
    withinMs: 60_000,
    everyMs: 500,
    what: 'status has no complaint about the channel of alpha',
  })
}

async function reportsAreFresh(): Promise<void> {
  await eventually(async () => ((await status('alpha')).ready ? true : undefined), {
    withinMs: 90_000,
    everyMs: 500,
    what: 'alpha reports, and is ready',
  })
}

interface Pods extends KubeObject {
  readonly status?: { readonly phase?: string }
}

/** Scales a Deployment, and waits until its pods are gone when it is scaled to none. */
async function scale(cluster: string, namespace: string, deployment: string, replicas: number): Promise<void> {
  const what = { apiVersion: 'apps/v1', kind: 'Deployment', namespace, name: deployment }
  const { spec } = await client(cluster).patch<KubeObject & { spec: { selector: { matchLabels: Record<string, string> } } }>(
    what,
    { spec: { replicas } },
    { type: 'merge' },
  )
  if (replicas > 0) return
  const labelSelector = Object.entries(spec.selector.matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
  await eventually(
    async () => {
      const { items } = await client(cluster).list<Pods>({ apiVersion: 'v1', kind: 'Pod', namespace, labelSelector })
      return items.length === 0 ? true : undefined
    },
    { withinMs: 60_000, everyMs: 200, what: `the pods of ${deployment} are gone` },
  )
}
