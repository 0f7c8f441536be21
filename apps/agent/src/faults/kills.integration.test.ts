import { apiVersion, type Release } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isWrite, type Passing } from '../../../../test/environment/faulty-proxy.ts'
import { countFrom, randomFrom } from '../../../../test/environment/random.ts'
import { type FaultyCluster, openFaultyCluster } from '../testing/faulty-cluster.ts'
import { type Sequence, type Step, sequenceOf } from './sequence.ts'

const kills = countFrom('MUSTER_TEST_KILLS', 20)
const seed = countFrom('MUSTER_TEST_SEED', 4)
/** After so many kills the cluster is emptied, and the sequence begins anew. */
const perRound = 20

let cluster: FaultyCluster
let sequence: Sequence

beforeAll(async () => {
  cluster = await openFaultyCluster()
  sequence = await sequenceOf(cluster)
  cluster.agent.start()
})

afterAll(async () => {
  await cluster.close(sequence.names)
})

/** How often each step asked and wrote when nothing disturbed it. */
interface Cost {
  readonly requests: number
  readonly writes: number
}

describe('an agent that is killed', () => {
  it(`brings about the same as one that is not, whichever request it was at (${kills} kills)`, {
    timeout: 300_000 + kills * 30_000,
  }, async () => {
    console.log(`seed ${seed}, ${kills} kills of the agent`)
    const random = randomFrom(seed)
    const undisturbed = new Map<Step, { readonly state: object; readonly cost: Cost }>()
    for (const step of sequence.steps) {
      const from = cluster.proxy.requests.length
      await begin(step)
      await cluster.eventually(`${step.name} has come about`, () => settled(step, 0))
      const seen = cluster.proxy.requests.slice(from).filter(counts)
      undisturbed.set(step, { state: await stateOf(step), cost: { requests: seen.length, writes: seen.filter(isWrite).length } })
    }
    let struck = 0
    while (struck < kills) {
      const uids = new Map<string, string>()
      const now = Math.min(perRound, kills - struck)
      for (const [at, step] of sequence.steps.entries()) {
        const { state, cost } = undisturbed.get(step) as { state: object; cost: Cost }
        await begin(step)
        const until = Math.ceil((now * (at + 1)) / sequence.steps.length)
        const done: string[] = []
        for (let kill = Math.ceil((now * at) / sequence.steps.length); kill < until; kill += 1) done.push(await strike(step, cost, random))
        struck += done.length
        const what = `seed ${seed}, ${step.name}, killed ${done.join(', ')}`
        const from = cluster.fleet.reports.length
        await cluster.eventually(`${step.name} has come about: ${what}`, () => settled(step, from))
        expect(await stateOf(step), what).toEqual(state)
        expect(await remade(step, uids), what).toEqual([])
      }
    }
  })
})

async function begin(step: Step): Promise<void> {
  await cluster.fleet.channel(step.releases)
}

/** Kills the agent at a request of chance, on its way to the API server or once that has done it; or when there is none any more. */
async function strike(step: Step, cost: Cost, random: () => number): Promise<string> {
  const { agent, proxy, fleet } = cluster
  const ofWrites = random() < 0.6
  const arrives = random() < 0.5
  let left = 1 + Math.floor(random() * (ofWrites ? cost.writes : cost.requests))
  let where: string | undefined
  const here = (request: Passing): boolean => {
    if (where !== undefined || !counts(request) || (ofWrites && !isWrite(request))) return false
    left -= 1
    if (left > 0) return false
    where = `${arrives ? 'after' : 'before'} ${request.method} ${request.path.split('?')[0]}`
    agent.kill()
    return true
  }
  if (arrives) proxy.answered = (request) => void here(request)
  else proxy.fault = (request) => (here(request) ? 'cut' : undefined)
  const from = fleet.reports.length
  await cluster.eventually(`a kill in ${step.name}`, async () => where !== undefined || (await settled(step, from)))
  proxy.answered = () => undefined
  proxy.fault = () => undefined
  await agent.end('SIGKILL')
  agent.start()
  return where ?? 'at rest'
}

function counts({ watch }: Passing): boolean {
  return !watch
}

/** Whether a report since says that the step has come about, and the Release objects do. */
async function settled(step: Step, from: number): Promise<boolean> {
  const { fleet, client } = cluster
  const report = fleet.reports.slice(from).at(-1)
  if (report?.generation !== fleet.generation) return false
  const told = report.releases.map(({ name, reason, version }) => `${name} ${version} ${reason}`).sort()
  if (told.join() !== [...step.ends].sort().join()) return false
  const { items } = await client.list<Release & KubeObject>({ apiVersion, kind: 'Release' })
  const ours = items.filter(({ metadata }) => sequence.names.includes(metadata.name))
  const written = ours.map(({ metadata, status }) => `${metadata.name} ${status?.appliedVersion} ${status?.conditions?.[0]?.reason}`)
  if (written.sort().join() !== [...step.ends].sort().join()) return false
  const objects = await objectsOf(step)
  if (objects.some((object) => nameOf(object) === step.gone)) return false
  // What went is written down a little later.
  const held = ours.flatMap(({ status }) => (status?.inventory ?? []).map(({ uid }) => uid)).sort()
  const there = objects.map(({ metadata }) => metadata.uid).sort()
  return held.join() === there.join()
}

const kinds = [
  ['v1', 'Namespace'],
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['v1', 'Service'],
  ['v1', 'ServiceAccount'],
  ['apps/v1', 'Deployment'],
  ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'],
] as const

async function objectsOf(step: Step): Promise<KubeObject[]> {
  const all: KubeObject[] = []
  const labelSelector = `muster.dev/release in (${sequence.names.join(',')})`
  const custom = step.custom ? [[`${sequence.group}/v1`, 'Widget'] as const] : []
  for (const [version, kind] of [...kinds, ...custom])
    all.push(...(await cluster.client.list({ apiVersion: version, kind, labelSelector })).items)
  return all
}

const nameOf = ({ kind, metadata }: KubeObject): string => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`

/** All that the releases have, and how they say that they stand. */
async function stateOf(step: Step): Promise<object> {
  const { items } = await cluster.client.list<Release & KubeObject>({ apiVersion, kind: 'Release' })
  const objects = await objectsOf(step)
  const uids = new Map(objects.map((object) => [nameOf(object), object.metadata.uid]))
  const releases = items
    .filter(({ metadata }) => sequence.names.includes(metadata.name))
    .map(({ metadata, spec, status }) => ({
      name: metadata.name,
      bundle: spec.bundle,
      applied: [status?.appliedVersion, status?.appliedDigest, status?.appliedContent],
      signedBy: status?.signedBy,
      condition: [status?.conditions?.[0]?.status, status?.conditions?.[0]?.reason],
      lastGood: status?.lastGood,
      rollback: [status?.rollback?.from, status?.rollback?.to],
      trial: status?.trial,
      // A kill is no drift.
      drift: status?.drift,
      inventory: status?.inventory?.map(({ kind, namespace = '', name, uid }) => {
        const key = `${kind}/${namespace}/${name}`
        return `${key} ${uid !== undefined && uid === uids.get(key) ? 'as it is' : uid}`
      }),
    }))
  return { releases, objects: objects.map(written).sort((a, b) => (a.key < b.key ? -1 : 1)) }
}

/** An object without what the server adds to each one that is made anew. */
function written(object: KubeObject): { readonly key: string; readonly [field: string]: unknown } {
  const { labels, annotations, deletionTimestamp, finalizers, managedFields } = object.metadata
  const { apiVersion: _v, kind: _k, metadata: _m, status: _s, spec, ...content } = object
  const shape = typeof spec === 'object' ? { ...spec, clusterIP: undefined, clusterIPs: undefined } : undefined
  const managers = managedFields?.flatMap(({ manager, operation }) => (manager === 'muster-agent' ? [operation] : []))
  return { key: nameOf(object), labels, annotations, deletionTimestamp, finalizers, managers, content, spec: shape }
}

/** Objects that have another uid than after an earlier step of the same round: they were to stay. */
async function remade(step: Step, uids: Map<string, string>): Promise<string[]> {
  const wrong: string[] = []
  const now = new Map((await objectsOf(step)).map((object) => [nameOf(object), object.metadata.uid ?? '']))
  for (const [name, uid] of now) if ((uids.get(name) ?? uid) !== uid) wrong.push(name)
  uids.clear()
  for (const [name, uid] of now) uids.set(name, uid)
  return wrong
}
