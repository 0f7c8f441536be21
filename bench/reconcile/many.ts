import { setTimeout as pause } from 'node:timers/promises'
import type { KubeObject } from '@muster/kube'
import type { ChannelRelease } from '@muster/trust'
import type { BenchContext, Figure } from '../harness.ts'
import { BenchAgent } from './agent.ts'
import { type BenchCluster, difference, type ServerCounts, startCluster } from './cluster.ts'
import { Flux } from './flux.ts'
import { documents, fourObjects, target } from './objects.ts'

interface Course {
  readonly seconds: number
  readonly server: ServerCounts
  readonly cpuSeconds: number
  /** Memory in MiB, up to the moment when all was ready, and through what came after it. */
  readonly peak: number
  /** The program is started anew, with nothing to do. */
  readonly again: ServerCounts & { readonly program: number; readonly peak: number }
}

const flux = 'Flux kustomize-controller v1.7.2'
/** Of Deployment, ReplicaSet, Endpoints and EndpointSlice. */
const controllers = 7

/** What the program does when nothing happens is looked at for so long, in milliseconds. */
const idleMs = 120_000
/** After so long, in milliseconds, nothing of a new channel goes on: twice what Node was seen to take. */
const settledMs = 20_000

/** Many small bundles by one agent, and the same objects by Flux; each from the start of its process, on an API server of its own. */
export async function manyBundles(context: BenchContext, bin: string): Promise<Figure[]> {
  const count = context.quick ? 20 : 1000
  const own = await byMuster(context, bin, count)
  const theirs = await byFlux(context, bin, count)
  const peer = (value: (course: Course) => number) => ({ values: [value(own)], peer: { name: flux, values: [value(theirs)] } })
  const what = `${count} bundles of 4 objects`
  return [
    {
      figure: `${what}: until ready`,
      unit: 's',
      ...peer(({ seconds }) => seconds),
      times: 3,
      note: 'Muster: until the hub hears that all is healthy. Flux (20 workers, wait: false): until every Kustomization is ready, which says that it was applied',
    },
    {
      figure: `${what}: requests for each bundle`,
      unit: 'requests',
      ...peer(({ server }) => server.requests / count),
      times: 3,
      note: 'as the API server counted them for the one who is measured, watches and all',
    },
    {
      figure: `${what}: CPU of the API server`,
      unit: 's',
      ...peer(({ server }) => server.cpuSeconds),
      times: 3,
      note: `with what it costs both that the controller manager follows: its ${controllers} writes for each bundle`,
    },
    { figure: `${what}: CPU of the program`, unit: 's', ...peer(({ cpuSeconds }) => cpuSeconds) },
    { figure: `${what}: peak memory (RSS)`, unit: 'MiB', ...peer(({ peak }) => peak), below: 120 },
    {
      figure: `${what}, nothing to do after a restart: requests for each`,
      unit: 'requests',
      ...peer(({ again }) => again.requests / count),
    },
    { figure: `${what}, nothing to do after a restart: CPU of the program`, unit: 's', ...peer(({ again }) => again.program) },
    { figure: `${what}, nothing to do after a restart: peak memory (RSS)`, unit: 'MiB', ...peer(({ again }) => again.peak), below: 120 },
    ...own.idle,
  ]
}

async function byMuster(context: BenchContext, bin: string, count: number): Promise<Course & { idle: readonly Figure[] }> {
  const cluster = await startCluster(bin, context.scratch)
  let agent: BenchAgent | undefined
  try {
    await makeTarget(cluster)
    agent = await BenchAgent.install(context, cluster)
    context.say(`publish ${count} bundles`)
    const entries: ChannelRelease[] = []
    for (let at = 0; at < count; at += 1) {
      const name = `app-${at}`
      entries.push({ ...(await agent.fleet.publish(name, '1.0.0', documents(fourObjects(name)))), namespace: target })
    }
    const generation = await agent.fleet.channel(entries)
    context.say('the agent applies them')
    const before = await cluster.counts()
    const started = performance.now()
    agent.start()
    await agent.ready(generation, count, context.signal)
    const seconds = (performance.now() - started) / 1000
    const server = difference(before, await cluster.counts())
    const used = await agent.used()
    const idle = await idleFigures(context, cluster, agent, entries)
    context.say('the agent is started anew')
    await agent.stop()
    agent.fleet.reports.length = 0
    const beforeAgain = await cluster.counts()
    agent.start()
    await agent.ready(generation + 1, count, context.signal)
    const usedAgain = await agent.used()
    const again = { ...difference(beforeAgain, await cluster.counts()), program: usedAgain.cpuSeconds, peak: usedAgain.peak }
    return { seconds, server, cpuSeconds: used.cpuSeconds, peak: used.peak, again, idle }
  } finally {
    await agent?.close()
    await cluster.dispose()
  }
}

/** A new channel that asks for the same, and then nothing at all. */
async function idleFigures(
  context: BenchContext,
  cluster: BenchCluster,
  agent: BenchAgent,
  entries: readonly ChannelRelease[],
): Promise<Figure[]> {
  await pauseFor(context, 5_000)
  const what = `no-op of ${entries.length} releases`
  const [before, usedBefore] = [await cluster.counts(), await agent.used()]
  const generation = await agent.fleet.channel(entries)
  await agent.ready(generation, entries.length, context.signal)
  // What a channel sets off outlasts the report that all is ready under it: some seconds later Node collects what it left.
  await pauseFor(context, context.quick ? 5_000 : settledMs)
  const [after, usedAfter] = [await cluster.counts(), await agent.used()]
  const idleSeconds = (context.quick ? 5_000 : idleMs) / 1000
  context.say(`nothing happens for ${idleSeconds} s`)
  await pauseFor(context, idleSeconds * 1000)
  const [rest, usedRest] = [await cluster.counts(), await agent.used()]
  return [
    {
      figure: `${what}, asked for by a new channel: writes`,
      unit: 'requests',
      values: [difference(before, after).applies],
      note: 'of the channel’s own state, and of the one Release that bears the newest generation; none is of a release',
    },
    { figure: `${what}, asked for by a new channel: CPU of the agent`, unit: 's', values: [usedAfter.cpuSeconds - usedBefore.cpuSeconds] },
    { figure: `${what}, asked for by a new channel: peak memory (RSS)`, unit: 'MiB', values: [usedAfter.peak], below: 120 },
    { figure: `${what}, ${idleSeconds} s of rest: requests`, unit: 'requests', values: [difference(after, rest).requests] },
    {
      figure: `${what}, rest: CPU of the agent in 10 minutes`,
      unit: 's',
      values: [((usedRest.cpuSeconds - usedAfter.cpuSeconds) / idleSeconds) * 600],
      below: 1,
      note: `reckoned from ${idleSeconds} s; polls of the channel and heartbeats to the hub are in it, what a new channel leaves to collect is in its own figure`,
    },
  ]
}

async function byFlux(context: BenchContext, bin: string, count: number): Promise<Course> {
  const cluster = await startCluster(bin, context.scratch)
  let peer: Flux | undefined
  try {
    await makeTarget(cluster)
    context.say(`make ${count} sources and Kustomizations`)
    peer = await Flux.install(context, cluster, bin, cluster.admin, count)
    context.say('Flux applies them')
    const before = await cluster.counts()
    const started = performance.now()
    await peer.start()
    await peer.ready(count, context.signal)
    const seconds = (performance.now() - started) / 1000
    const server = difference(before, await cluster.counts())
    const used = await peer.used()
    context.say('Flux is started anew')
    const beforeAgain = await cluster.counts()
    await peer.restart()
    await pauseFor(context, 5_000)
    // It looks at all of them after a start; it is done when it asks nothing any more.
    for (let last = -1, now = (await cluster.counts()).requests; now !== last; now = (await cluster.counts()).requests) {
      last = now
      await pauseFor(context, 3_000)
    }
    const usedAgain = await peer.used()
    const again = { ...difference(beforeAgain, await cluster.counts()), program: usedAgain.cpuSeconds, peak: usedAgain.peak }
    return { seconds, server, cpuSeconds: used.cpuSeconds, peak: used.peak, again }
  } finally {
    await peer?.close()
    await cluster.dispose()
  }
}

async function makeTarget({ client }: BenchCluster): Promise<void> {
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: target } } as KubeObject)
}

async function pauseFor({ signal }: BenchContext, ms: number): Promise<void> {
  await pause(ms, undefined, { signal })
}
