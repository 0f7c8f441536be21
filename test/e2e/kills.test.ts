import { setTimeout as pause } from 'node:timers/promises'
import { apiVersion, type Release } from '@muster/api'
import { type FleetStatus, type PublishedBundle, place, placed } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { leftovers } from '../environment/leftovers.ts'
import { type Killable, killable, killProcess } from '../environment/processes.ts'
import { countFrom, pick, randomFrom, shuffled } from '../environment/random.ts'
import { SmallBundles } from '../environment/small-bundle.ts'

const instance = sharedInstance()
const kills = countFrom('MUSTER_TEST_KILLS', 20)
const seed = countFrom('MUSTER_TEST_SEED', 4)
/** After so many kills what is there is compared with what would be there without them. */
const batch = 20
const patienceMs = 6 * 60_000
const name = 'kills'
const clusters = ['hub', 'alpha', 'bravo'] as const
const both = ['alpha', 'bravo']
const clients = new Map<string, KubeClient>()
let bundles: SmallBundles
let first: PublishedBundle
let second: PublishedBundle

beforeAll(async () => {
  for (const cluster of clusters) clients.set(cluster, await instance.client(cluster))
  bundles = await SmallBundles.open(instance, name)
  first = await bundles.publish('1.0.0', objects('1.0.0', 'one'))
  second = await bundles.publish('2.0.0', objects('2.0.0', 'two'))
})

afterAll(async () => {
  await instance.succeed('place', name, '--nowhere')
  await bundles.close()
  for (const one of clients.values()) one.close()
})

describe('whatever is killed, and whenever', () => {
  it(`the end is the same as without a kill (${kills} kills)`, { timeout: kills * 45_000 + 2 * patienceMs }, async () => {
    console.log(`seed ${seed}, ${kills} kills`)
    const random = randomFrom(seed)
    // Placed, updated, narrowed, moved, removed, placed again: the last one is what has to come of all of them.
    const steps = [
      { bundle: first, on: both },
      { bundle: second, on: both },
      { bundle: second, on: ['alpha'] },
      { bundle: first, on: ['alpha', 'bravo'] },
      { bundle: first, on: ['bravo'] },
      { bundle: first, on: [] },
    ]
    const end = { bundle: second, on: ['alpha'] }

    await ask(first, both)
    await settle(first, both)
    await ask(second, both)
    await settle(end.bundle, both)
    await ask(end.bundle, end.on)
    await settle(end.bundle, end.on)
    const undisturbed = await eventually(whole, { withinMs: 120_000, everyMs: 500, what: 'the fleet is ready before any kill' })

    // Each of them equally often, in an order of chance.
    let victims: Killable[] = []
    for (let kill = 1; kill <= kills; kill += 1) {
      const step = pick(random, steps)
      await ask(step.bundle, step.on)
      await pause(random() * 2500)
      if (victims.length === 0) victims = shuffled(random, killable)
      const what = victims.pop() ?? 'agent'
      const cluster = what === 'hub' ? 'hub' : pick(random, clusters)
      await strike(kill, what, cluster)
      if (what === 'host') await instance.succeed('up', '--no-example')
      if (kill % batch !== 0 && kill !== kills) continue
      await ask(end.bundle, end.on)
      await settle(end.bundle, end.on)
      const after = await eventually(whole, { withinMs: patienceMs, everyMs: 500, what: `the fleet is ready after ${kill} kills` })
      expect(after, `seed ${seed}, after ${kill} kills`).toEqual(undisturbed)
    }
  })
})

async function strike(kill: number, what: Killable, cluster: string): Promise<void> {
  await eventually(async () => ((await killProcess(instance, what, cluster)) ? true : undefined), {
    withinMs: patienceMs,
    everyMs: 250,
    what: `${what} (${cluster}) runs, so that it can be killed`,
  })
  console.log(`kill ${kill}: ${what} (${cluster})`)
}

function client(cluster: string): KubeClient {
  const found = clients.get(cluster)
  if (!found) throw new Error(`there is no client of ${cluster}`)
  return found
}

/** Asks the hub's API, which may itself be away for a while. */
async function ask(bundle: PublishedBundle, on: readonly string[]): Promise<void> {
  await eventually(async () => place(client('hub'), { name, bundle, namespace: name, clusters: on }, AbortSignal.timeout(20_000)), {
    withinMs: patienceMs,
    everyMs: 250,
    what: 'the hub takes a placement',
  })
}

async function settle(bundle: PublishedBundle, on: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const wait = { signal: AbortSignal.timeout(patienceMs), deadlineMs: 60_000 }
      await placed(client('hub'), { metadata: { name }, spec: { bundle, namespace: name, clusters: { names: [...on] } } }, wait)
      return true
    },
    { withinMs: patienceMs, everyMs: 250, what: `${bundle.version} is on ${on.join(', ')} and nowhere else` },
  )
}

function objects(version: string, only: string): string {
  return `apiVersion: v1
kind: ConfigMap
metadata:
  name: always
data:
  version: ${version}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: only-${only}
data:
  version: ${version}
---
apiVersion: v1
kind: Service
metadata:
  name: always
spec:
  selector:
    app: nothing
  ports:
  - name: http
    port: 80
`
}

const kinds = [
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['v1', 'Service'],
  ['v1', 'ServiceAccount'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'StatefulSet'],
  ['batch/v1', 'Job'],
  ['rbac.authorization.k8s.io/v1', 'Role'],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['autoscaling/v2', 'HorizontalPodAutoscaler'],
] as const

/** All that the placements, kills and recoveries may leave behind; undefined while something is not ready. */
async function whole(): Promise<object | undefined> {
  const fleet = JSON.parse(await instance.succeed('status', '-o', 'json')) as FleetStatus
  if (fleet.clusters.some((cluster) => !cluster.ready || cluster.channelUnreadable)) return undefined
  const processes = countByProgram(await leftovers(instance.id, instance.state))
  const seen = await Promise.all(both.map(clusterState))
  if (seen.some((one) => one === undefined)) return undefined
  return { processes, clusters: seen }
}

async function clusterState(cluster: string): Promise<object | undefined> {
  const api = client(cluster)
  const [namespaces, releases, pods, ...lists] = await Promise.all([
    api.list({ apiVersion: 'v1', kind: 'Namespace' }),
    api.list<Release & KubeObject>({ apiVersion, kind: 'Release' }),
    api.list<Pod>({ apiVersion: 'v1', kind: 'Pod' }),
    ...kinds.map(([version, kind]) => api.list({ apiVersion: version, kind })),
  ])
  // What is on its way out is not there for long.
  if ([...namespaces.items, ...pods.items].some((object) => object.metadata.deletionTimestamp !== undefined)) return undefined
  if (pods.items.some((pod) => !pod.status.conditions?.some((one) => one.type === 'Ready' && one.status === 'True'))) return undefined
  return {
    cluster,
    namespaces: namespaces.items.map((object) => object.metadata.name).sort(),
    pods: pods.items
      .map((pod) => `${pod.metadata.namespace} ${pod.metadata.labels?.['app'] ?? pod.metadata.labels?.['k8s-app'] ?? ''}`)
      .sort(),
    objects: lists
      .flatMap(({ items }) => items)
      .map((object) => `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`)
      .sort(),
    // Of what was placed, everything that was written; of the rest, that it is there and not twice.
    placed: lists
      .flatMap(({ items }) => items)
      .filter((object) => object.metadata.namespace === name && object.metadata.name !== 'kube-root-ca.crt')
      .map(written),
    releases: releases.items.map(({ metadata, spec, status }) => ({
      name: metadata.name,
      bundle: spec.bundle,
      namespace: spec.namespace,
      applied: status?.appliedDigest,
      signedBy: status?.signedBy,
      // A release that is well may still be said to be fought over, by a test before this one.
      conditions: status?.conditions?.map(({ type, status, reason }) => (status === 'True' ? type : `${type} ${status} ${reason}`)).sort(),
      inventory: status?.inventory?.map((entry) => `${entry.kind}/${entry.namespace ?? ''}/${entry.name}`).sort(),
    })),
  }
}

/** An object without what the server adds to each one that is made anew. */
function written(object: KubeObject): object {
  const { name, namespace, labels, annotations } = object.metadata
  const spec = typeof object['spec'] === 'object' ? { ...object['spec'], clusterIP: undefined, clusterIPs: undefined } : undefined
  return { kind: object.kind, name, namespace, labels, annotations, data: object['data'], spec }
}

interface Pod extends KubeObject {
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] }
}

const programs = ['host/src/main.ts', 'registry-main.ts', '/etcd ', '/kube-apiserver ', '/kube-controller-manager ', '/kube-scheduler ']
const inNodes = ['node-init.sh', '/opt/muster/bin/kubelet', '/opt/muster/bin/containerd ', '/opt/muster/bin/kube-proxy', '/app/main.mjs']

/** How many processes there are of each program: none is doubled, none is left behind. */
function countByProgram(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const line of lines) {
    const program = [...programs, ...inNodes].find((one) => line.startsWith('process') && line.includes(one))
    if (program !== undefined) counts[program] = (counts[program] ?? 0) + 1
  }
  return counts
}
