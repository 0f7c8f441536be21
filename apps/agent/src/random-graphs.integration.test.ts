import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type Release, type ReleaseSettings } from '@muster/api'
import { isKubeError, type KubeObject } from '@muster/kube'
import { compareForApply, holderOf, objectKey, refOf } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startCluster, type TestCluster } from './testing/cluster.ts'
import { objectOf, type Place, placeOf, releasesOf, type Step, type World, worlds } from './testing/object-graph.ts'

/** Sequences that are run, side by side in one cluster, and where chance starts from: see docs/reliability.md. */
const count = Number(process.env['MUSTER_TEST_GRAPHS'] ?? 25)
const seed = Number(process.env['MUSTER_TEST_SEED'] ?? 4)
const channels = 3

const id = randomBytes(4).toString('hex')
const sequences: readonly World[] = fc.sample(worlds(channels), { seed, numRuns: count })
const places: readonly Place[] = sequences.map((_, at) => placeOf(id, at))
const volumes = Array.from({ length: 2 * count }, (_, at) => `graph-${id}-${at}`)

let client: TestCluster['client']
let fleet: TestCluster['fleet']
let agent: TestCluster['agent']
let end: TestCluster['end']

beforeAll(async () => {
  ;({ client, fleet, agent, end } = await startCluster(id))
  for (const name of places.flatMap(({ namespaces }) => namespaces)) {
    await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })
  }
  for (const name of volumes) {
    const spec = {
      capacity: { storage: '1Mi' },
      accessModes: ['ReadWriteOnce'],
      storageClassName: `graph-${id}`,
      hostPath: { path: `/${name}` },
    }
    await client.create({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name }, spec } as KubeObject)
  }
  agent.start()
})

afterAll(async () => {
  await agent.end()
  for (const { group } of places) {
    await client.delete({ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: `widgets.${group}` })
  }
  for (const name of volumes) await client.delete({ apiVersion: 'v1', kind: 'PersistentVolume', name })
  for (const name of places.flatMap(releasesOf)) await client.delete({ apiVersion, kind: 'Release', name })
  await end(...places.flatMap(({ namespaces, extra }) => [...namespaces, extra]))
})

/** Waits until nothing is wrong any more, and else fails with what still is. */
async function until(wrong: () => Promise<readonly string[]>): Promise<void> {
  const started = performance.now()
  for (;;) {
    const found = await wrong()
    if (found.length === 0) return
    if (performance.now() - started > 90_000) {
      const told = fleet.reports.at(-1)?.releases.filter(({ reason }) => reason !== 'Healthy') ?? []
      const standing = told.map(({ name, reason, message }) => `${name} (${reason}): ${message}`)
      throw new Error(`not within 90 s (seed ${seed}):\n${[...found, ...standing].slice(0, 40).join('\n')}`)
    }
    await pause(200)
  }
}

const published = new Map<string, Promise<ChannelRelease>>()

/** A release of these objects; the same objects are the same version. */
async function publish(name: string, objects: readonly KubeObject[]): Promise<ChannelRelease> {
  const text = objects.map((object) => JSON.stringify(object)).join('\n---\n')
  const key = `${name} ${text}`
  const known = published.get(key) ?? fleet.publish(name, `1.0.${published.size}`, text)
  published.set(key, known)
  return known
}

/** What a channel says of a world, and what is to be there then, by keys of objects. */
async function wish({ consents }: World, place: Place, { wishes }: Step) {
  const releases = releasesOf(place)
  const wanted = new Map<string, { readonly holder: string; readonly object: KubeObject }>()
  const entries: ChannelRelease[] = []
  const settings: ReleaseSettings = {
    drift: { mode: 'correct' },
    rollout: { minHealthySeconds: 0 },
    prune: { maxShare: 1, ...(consents ? { consent: ['PersistentVolumeClaim'] } : {}) },
  }
  for (const [at, name] of releases.entries()) {
    const objects = [...wishes].filter(([, { holder }]) => holder === at).map(([object, one]) => objectOf(object, place, one))
    if (objects.length === 0) continue
    for (const object of objects) wanted.set(objectKey(refOf(object)), { holder: name, object })
    entries.push({ ...(await publish(name, objects)), namespace: place.namespaces[0], settings })
  }
  return { entries, wanted }
}

/** All that bears the name of a release, and the releases, by keys, for each world. */
async function live(): Promise<Map<string, KubeObject>[]> {
  const found = places.map(() => new Map<string, KubeObject>())
  const worldOf = new Map(places.flatMap((place, at) => releasesOf(place).map((name) => [name, at])))
  const kinds = [
    ...['ConfigMap', 'Secret', 'Service', 'PersistentVolumeClaim', 'Namespace'].map((kind) => ({ apiVersion: 'v1', kind })),
    { apiVersion, kind: 'Release' },
    { apiVersion: 'apps/v1', kind: 'Deployment' },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' },
    { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' },
  ]
  const own = places
    .filter((_, at) => sequences[at]?.steps.some(({ wishes }) => wishes.has('definition')))
    .map(({ group }) => ({ apiVersion: `${group}/v1`, kind: 'Widget' }))
  const lists = [...kinds, ...own].map(async (kind) => {
    try {
      const labelSelector = kind.kind === 'Release' ? undefined : 'muster.dev/release'
      return (await client.list({ ...kind, labelSelector })).items
    } catch (error) {
      // A definition that comes or goes just now is not served everywhere at once.
      if (isKubeError(error, 'UnknownKind') || isKubeError(error, 'NotFound') || isKubeError(error, 'BadResponse')) return []
      throw error
    }
  })
  for (const object of (await Promise.all(lists)).flat()) {
    const at = worldOf.get((object.kind === 'Release' ? object.metadata.name : holderOf(object)) ?? '')
    if (at !== undefined) found[at]?.set(objectKey(refOf(object)), object)
  }
  return found
}

/** Whether all that is wanted is so; of maps of data also that nothing else is in them. */
function isAs(wanted: unknown, found: unknown, exact: boolean): boolean {
  if (typeof wanted !== 'object' || wanted === null) return wanted === found
  if (typeof found !== 'object' || found === null) return false
  const [a, b] = [Object.entries(wanted), found as Record<string, unknown>]
  if (exact && a.length !== Object.keys(b).length) return false
  return a.every(([key, value]) => isAs(value, b[key], exact || key === 'data' || key === 'rules' || key === 'subjects'))
}

/** The pinned name of an image is longer than the one that was written. */
const unpinned = (object: KubeObject): KubeObject =>
  JSON.parse(JSON.stringify(object).replaceAll(/@sha256:[0-9a-f]{64}/g, '')) as KubeObject

type Wanted = Awaited<ReturnType<typeof wish>>['wanted']

/** What is not as it is wanted, in words. */
function wrongIn({ consents }: World, wanted: Wanted, found: ReadonlyMap<string, KubeObject>): string[] {
  const wrong: string[] = []
  for (const [key, { holder, object }] of wanted) {
    const there = found.get(key)
    const by = there && holderOf(there)
    if (there === undefined) wrong.push(`${holder}: ${key} is missing`)
    else if (there.metadata.deletionTimestamp !== undefined) wrong.push(`${holder}: ${key} is being deleted`)
    else if (by !== holder) wrong.push(`${holder}: ${key} is held by ${by}`)
    else if (!isAs(object, unpinned(there), false)) wrong.push(`${holder}: ${key} is not as it is wanted`)
  }
  // A claim waits for consent that nobody gives, and with it what was applied before it.
  const inventories = [...found.values()].flatMap((one) =>
    one.kind === 'Release' ? [(one as unknown as Release).status?.inventory ?? []] : [],
  )
  const held = new Set(
    inventories.flatMap((inventory) => {
      const claim = inventory.find(({ kind, ...entry }) => kind === 'PersistentVolumeClaim' && !wanted.has(objectKey({ kind, ...entry })))
      return claim === undefined || consents ? [] : inventory.filter((entry) => compareForApply(entry, claim) <= 0).map(objectKey)
    }),
  )
  for (const [key, object] of found) {
    if (object.kind !== 'Release' && !wanted.has(key) && !held.has(key)) wrong.push(`${key} of ${holderOf(object)} is left`)
  }
  return wrong
}

/** Somebody changes or deletes one of the objects that are wanted; gives the key of what will have another uid. */
async function byHand({ hand }: Step, wanted: Wanted): Promise<string | undefined> {
  const mine = [...wanted].filter(([, { object }]) => ['ConfigMap', 'Secret', 'Role', 'Service'].includes(object.kind))
  const [key, one] = mine[hand.at % Math.max(1, mine.length)] ?? []
  if (key === undefined || one === undefined) return undefined
  if (hand.deletes) {
    await client.delete(refOf(one.object))
    return key
  }
  const change =
    one.object['data'] === undefined ? { metadata: { labels: { 'muster.dev/release': 'nobody' } } } : { data: { form: 'Yg==' } }
  await client.patch(refOf(one.object), change, { type: 'merge', fieldManager: 'kubectl-edit' })
  return undefined
}

describe('random sets of objects in releases that share them', () => {
  it('come to exactly what each channel wants: nothing missing, nothing left but what is protected, and what stays keeps its uid', async () => {
    const lasting = places.map(() => new Map<string, string>())
    const patterns = fc.sample(fc.record({ settles: fc.boolean(), restarts: fc.boolean() }), { seed, numRuns: channels })
    for (let at = 0; at < channels; at += 1) {
      const made = await Promise.all(sequences.map((world, index) => wish(world, places[index] as Place, world.steps[at] as Step)))
      for (const [index, known] of lasting.entries()) for (const key of known.keys()) if (!made[index]?.wanted.has(key)) known.delete(key)
      const generation = await fleet.channel(made.flatMap(({ entries }) => entries))
      if (patterns[at]?.restarts) {
        await agent.end()
        agent.start()
      }
      if (!patterns[at]?.settles && at < channels - 1) continue
      const wrong = async (): Promise<string[]> => {
        if (fleet.reports.at(-1)?.generation !== generation) return [`generation ${generation} is not reported`]
        const found = await live()
        return sequences.flatMap((world, index) => wrongIn(world, made[index]?.wanted ?? new Map(), found[index] ?? new Map()))
      }
      await until(wrong)
      const found = await live()
      for (const [index, known] of lasting.entries()) {
        for (const [key, uid] of known) expect(found[index]?.get(key)?.metadata.uid, key).toBe(uid)
        for (const [key, { metadata }] of found[index] ?? []) if (made[index]?.wanted.has(key)) known.set(key, metadata.uid ?? '')
      }
      for (const [index, world] of sequences.entries()) {
        const renewed = await byHand(world.steps[at] as Step, made[index]?.wanted ?? new Map())
        if (renewed !== undefined) lasting[index]?.delete(renewed)
      }
      await until(wrong)
    }
    await fleet.channel([])
    const nothing = new Map()
    await until(async () => {
      const found = await live()
      return sequences.flatMap((world, index) => wrongIn(world, nothing, found[index] ?? new Map()))
    })
  }, 600_000)
})
