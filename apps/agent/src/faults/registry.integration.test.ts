import { randomBytes } from 'node:crypto'
import type { ReleaseReport } from '@muster/api'
import type { Ref } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, startCluster, type TestCluster } from '../testing/cluster.ts'
import type { FaultyRegistry, RegistryFault } from '../testing/faulty-registry.ts'

const id = randomBytes(4).toString('hex')
const namespace = `registry-${id}`

/** A release for each fault, which its own repository has, and as what it is told. */
const faults: Readonly<
  Record<string, { readonly fault: RegistryFault; readonly reason: 'RegistryUnreachable' | 'DataDamaged' | 'Healthy' }>
> = {
  cut: { fault: 'cut', reason: 'RegistryUnreachable' },
  unknown: { fault: { status: 401 }, reason: 'RegistryUnreachable' },
  denied: { fault: { status: 403 }, reason: 'RegistryUnreachable' },
  busy: { fault: { status: 429, headers: { 'retry-after': '1' } }, reason: 'RegistryUnreachable' },
  broken: { fault: { status: 500 }, reason: 'RegistryUnreachable' },
  away: { fault: { status: 503 }, reason: 'RegistryUnreachable' },
  missing: { fault: { status: 404 }, reason: 'RegistryUnreachable' },
  // As many as there are workers: they hold up none of the others.
  ...Object.fromEntries(
    Array.from({ length: 8 }, (_, at) => [`trickle${at}`, { fault: 'trickle', reason: 'RegistryUnreachable' }] as const),
  ),
  wrong: { fault: 'wrong bytes', reason: 'DataDamaged' },
  truncated: { fault: 'truncated', reason: 'DataDamaged' },
  other: { fault: 'other manifest', reason: 'DataDamaged' },
  slow: { fault: 'slow', reason: 'Healthy' },
}
const honest = `honest-${id}`
const names = [...Object.keys(faults).map((name) => `${name}-${id}`), honest]

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']
let registry: FaultyRegistry

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  registry = await fleet.faultyRegistry()
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  agent.start()
})

afterAll(async () => end(...names, namespace))

const published = new Map<string, ChannelRelease>()

async function publish(name: string, version: string): Promise<ChannelRelease> {
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data: { version } }
  const entry = published.get(`${name} ${version}`) ?? { ...(await fleet.publish(name, version, JSON.stringify(object))), namespace }
  published.set(`${name} ${version}`, entry)
  return entry
}

const config = (name: string): Ref => ({ apiVersion: 'v1', kind: 'ConfigMap', name, namespace })

async function bring(version: string): Promise<void> {
  await fleet.channel(await Promise.all(names.map((name) => publish(name, version))))
}

/** What runs of each, as the cluster has it. */
async function running(): Promise<Record<string, string | undefined>> {
  const { items } = await client.list({ apiVersion: 'v1', kind: 'ConfigMap', namespace, labelSelector: 'muster.dev/release' })
  const found = items.map((item) => [item.metadata.name, (item['data'] as { version?: string } | undefined)?.version] as const)
  return Object.fromEntries(found)
}

const all = (version: string) => Object.fromEntries(names.map((name) => [name, version]))

async function allRun(version: string): Promise<void> {
  await fleet.reported(({ releases }) => releases.length === names.length && releases.every((one) => one.ready && one.version === version))
  expect(await running()).toEqual(all(version))
}

/** Somebody changes and deletes what runs: it is brought back. */
async function driftIsCorrected(to: Record<string, string | undefined>): Promise<void> {
  for (const [at, name] of names.entries()) {
    if (at % 2 === 0) await client.delete(config(name))
    else await client.patch(config(name), { data: { version: 'by hand' } }, { type: 'merge', fieldManager: 'kubectl-edit' })
  }
  await eventually(async () => JSON.stringify(Object.entries(await running()).sort()) === JSON.stringify(Object.entries(to).sort()))
}

describe('a registry that fails in the middle of a sequence of releases', () => {
  it('holds up exactly what it does not give: what runs stays, drift corrected, and each release says which it is', async () => {
    await bring('1.0.0')
    await allRun('1.0.0')
    registry.fault = (path) => Object.entries(faults).find(([name]) => path.startsWith(`/v2/bundles/${name}-${id}/`))?.[1].fault
    await bring('1.1.0')
    const told = (releases: readonly ReleaseReport[]): Record<string, string> =>
      Object.fromEntries(releases.map(({ name, reason }) => [name.slice(0, name.lastIndexOf('-')), reason]))
    const wanted = { ...Object.fromEntries(Object.entries(faults).map(([name, { reason }]) => [name, reason])), honest: 'Healthy' }
    await eventually(async () => JSON.stringify(told(fleet.reports.at(-1)?.releases ?? [])) === JSON.stringify(told(sorted(wanted))))
    const runs = { ...all('1.0.0'), [honest]: '1.1.0', [`slow-${id}`]: '1.1.0' }
    expect(await running()).toEqual(runs)
    await driftIsCorrected(runs)
    expect(fleet.reports.at(-1)?.releases.find(({ name }) => name.startsWith('wrong'))?.version).toBe('1.0.0')
  })

  it('is made up for by itself when it gives them', async () => {
    registry.fault = () => undefined
    await allRun('1.1.0')
  })
})

/** As reports have them: in order of names. */
function sorted(reasons: Record<string, string>): ReleaseReport[] {
  return Object.keys(reasons)
    .sort()
    .map((name) => ({ name: `${name}-${id}`, reason: reasons[name] }) as ReleaseReport)
}

describe.each<[string, RegistryFault, string]>([
  ['ends every connection', 'cut', 'Unreachable'],
  ['does not know the agent any more', { status: 401 }, 'Unauthorized'],
  ['gives wrong bytes for everything', 'wrong bytes', 'DataDamaged'],
])('pain 1, with a registry that %s: an outage read as "nothing desired"', (_title, fault, reason) => {
  it('does not come about: nothing is deleted, drift is corrected, the channel is said to be unreadable, and then it goes on', async () => {
    const before = await running()
    registry.fault = () => fault
    // Meant, and not to be known: half of it goes.
    const version = before[honest] ?? ''
    const kept = names.slice(names.length / 2)
    await fleet.channel(await Promise.all(kept.map((name) => publish(name, version))))
    await fleet.reported(({ channelUnreadable }) => channelUnreadable?.reason === reason)
    expect(await running()).toEqual(before)
    await driftIsCorrected(before)
    registry.fault = () => undefined
    await eventually(async () => Object.keys(await running()).length === kept.length)
    await bring(version)
    await allRun(version)
  })
})
