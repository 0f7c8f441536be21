import { join } from 'node:path'
import type { NodeReport, ReportAnswer } from '@muster/api'
import { EventRecorder, Informer, type KubeClient, Manager, type Runnable } from '@muster/kube'
import { type ContentSource, Registry } from '@muster/oci'
import { CertainClock, type Clock } from './clock.ts'
import { ContentCache } from './content-cache.ts'
import { HubClient } from './hub-client.ts'
import { type Identity, keepIdentity, obtainIdentity, readBootstrap, userAgent } from './identity.ts'
import type { Logger } from './logger.ts'
import { type AgentState, metricsText } from './metrics.ts'
import { nodeReport } from './nodes.ts'
import { Probes } from './probes.ts'
import { Puller } from './puller.ts'
import { ReleasesWorker } from './releases-worker.ts'
import { RemoteReleases } from './remote-releases.ts'
import { defaultIntervalMs, Reporter, reportOf } from './reporter.ts'
import { SealingKeys } from './sealing-keys.ts'
import type { Settings } from './settings.ts'
import { StateStore } from './state.ts'
import { Tenancy } from './tenancy.ts'
import { SitePolicyWatch, TrustRules } from './trust-rules.ts'
import { agentVersion } from './version.ts'

export interface AgentOptions {
  readonly client: KubeClient
  readonly settings: Settings
  readonly clock: Clock
  readonly logger: Logger
}

/** A poll of the channel that takes longer than this, in milliseconds, hangs: the kubelet shall start the agent anew. */
const hangMs = 5 * 60_000

/** How often the hub is asked while something waits for a release of another cluster, in milliseconds. */
const waitingIntervalMs = 2_000

/** How often unused content is looked for, in milliseconds. */
const trimMs = 10 * 60_000

/**
 * The agent of one cluster: joins, pulls its channel, and keeps its releases. Runs until stopped.
 * @throws AgentError `BootstrapIncomplete`, `StateUnreadable`; KubeError where the cluster's own API server cannot be used
 */
export async function runAgent({ client, settings, clock: given, logger }: AgentOptions, signal: AbortSignal): Promise<void> {
  const clock = new CertainClock(given)
  let ready = false
  let alive = (): boolean => true
  let look = (): Omit<AgentState, 'views' | 'residentBytes'> => ({
    generation: 0,
    askedMs: 0,
    releases: { ready: 0, other: 0 },
    cacheWritable: true,
  })
  const metrics = (): string => metricsText({ views: client.views, ...look(), residentBytes: process.memoryUsage.rss() })
  const probes = new Probes({ ...settings.probes, ready: () => ready, alive: () => alive(), metrics })
  await probes.listen()
  try {
    const identityOptions = { api: client, namespace: settings.namespace, agentVersion, clock, logger }
    const bootstrap = await readBootstrap(identityOptions, signal)
    const store = new StateStore(client, settings.namespace)
    const remembered = (await store.load(signal)) ?? { generation: 0, root: bootstrap.trustRoot }
    const access = new Access(await obtainIdentity(identityOptions, bootstrap, signal))
    const events = new EventRecorder(client, {
      controller: 'muster.dev/agent',
      instance: settings.instance,
    })
    const cache = new ContentCache(join(settings.store, 'content'), { told: (trouble) => tellCache(settings.store, trouble, logger) })
    const sitePolicies = new SitePolicyWatch(client, logger)
    const sealing = new SealingKeys({
      api: client,
      namespace: settings.namespace,
      cluster: access.identity.cluster,
      clock,
      logger,
      content: () => puller.current?.content,
      changed: () => reporter.changed(),
    })
    const tenancy = new Tenancy({
      client,
      namespace: settings.namespace,
      cluster: access.identity.cluster,
      clock,
      logger,
      content: () => puller.current?.content,
      ended: () => worker.lookAgain(),
    })
    const remote = new RemoteReleases(clock.now())
    const worker: ReleasesWorker = new ReleasesWorker({
      client,
      cluster: access.identity.cluster,
      namespace: settings.namespace,
      events,
      source: (repository) => cache.over(access.repository(repository)),
      unseal: (sealed, release, parameter, stop) => sealing.unseal(sealed, release, parameter, stop),
      sitePolicies: sitePolicies.policies,
      trust: new TrustRules(sitePolicies.policies),
      tenancy,
      remote,
      clock,
      logger,
      wanted: () => puller.current && { ...puller.current, expired: puller.expired },
      changed: () => reporter.changed(),
      touched: () => reporter.touched(),
    })
    await worker.restore(signal)
    const puller = new Puller({
      cluster: access.identity.cluster,
      source: () => access.repository(access.identity.channelRepository),
      store,
      // Releases say which generation asked for them: should the state be lost, an older channel is still refused.
      state: { ...remembered, generation: Math.max(remembered.generation, worker.generation) },
      intervalMs: settings.pollMs,
      clock,
      logger,
      accepted: (channel) => {
        clock.learn(channel.content.issuedAt)
        worker.accept(channel)
        sealing.lookAgain()
        tenancy.lookAgain()
        reporter.changed()
      },
      troubled: () => reporter.changed(),
      expired: () => {
        worker.lookAgain()
        reporter.changed()
      },
    })
    const nodes = new Informer<NodeReport>(client, { apiVersion: 'v1', kind: 'Node', project: nodeReport })
    const { gitVersion } = await client.version({ signal })
    const answered = ({ dependencies = [] }: ReportAnswer, generation: number): void => {
      if (remote.take(dependencies, generation, clock.now())) worker.lookAgain()
    }
    const reporter = new Reporter({
      clock,
      logger,
      collect: () => {
        const wanted = new Map(puller.current?.content.releases.map((entry) => [entry.name, entry]))
        return reportOf(
          {
            cluster: access.identity.cluster,
            generation: puller.generation,
            channelDigest: puller.current?.digest,
            agentVersion,
            kubernetesVersion: gitVersion,
            nodes: nodes.list(),
            releases: worker.releases.all().flatMap((runtime) => runtime.report(wanted.get(runtime.name)) ?? []),
            sealing: sealing.report,
            channelUnreadable: puller.trouble,
          },
          clock.now(),
        )
      },
      intervalMs: () => (worker.waitsAcross ? waitingIntervalMs : defaultIntervalMs),
      send: async (report, stop) => answered(await access.hub.report(report, access.identity, stop), report.generation),
      beat: async (heartbeat, stop) => {
        const { generation } = puller
        const answer = await access.hub.heartbeat(heartbeat, access.identity, stop)
        if (answer !== undefined) answered(answer, generation)
        return answer !== undefined
      },
      timely: () => JSON.stringify([puller.generation, puller.current?.digest, puller.trouble]),
    })
    nodes.onChange(() => reporter.changed())
    sitePolicies.onChange(() => worker.lookAgain())
    puller.resume()
    const manager = new Manager()
    for (const part of [nodes, sealing, tenancy, ...worker.parts, events, reporter] satisfies Runnable[]) manager.add(part)
    manager.add({ name: sitePolicies.name, run: (stop) => sitePolicies.run(stop) })
    manager.add({ name: 'puller', run: (stop) => puller.run(stop) })
    manager.add({
      name: 'identity',
      run: (stop) => keepIdentity(identityOptions, access.identity, (identity) => access.renew(identity), stop),
    })
    manager.add({ name: 'cache', run: (stop) => trimAll(cache, clock, stop) })
    ready = true
    look = () => ({
      generation: puller.generation,
      askedMs: puller.silentMs,
      releases: worker.releases.counts,
      cacheWritable: cache.writable,
    })
    alive = () => puller.silentMs < settings.pollMs + hangMs
    logger.info({ cluster: access.identity.cluster, generation: puller.generation, version: agentVersion }, 'the agent runs')
    await manager.run(signal)
    access.close()
  } finally {
    probes.close()
  }
}

/** The identity in use, and the connections to hub and registry that it came with. */
class Access {
  identity: Identity
  hub: HubClient
  #registry: Registry

  constructor(identity: Identity) {
    this.identity = identity
    this.hub = hubOf(identity)
    this.#registry = connect(identity)
  }

  repository(name: string): ContentSource {
    return this.#registry.repository(name)
  }

  renew(identity: Identity): void {
    this.close()
    this.identity = identity
    this.hub = hubOf(identity)
    this.#registry = connect(identity)
  }

  close(): void {
    this.hub.close()
    this.#registry.close()
  }
}

function hubOf({ hubUrl, hubCa }: Identity): HubClient {
  return new HubClient({ url: hubUrl, ca: hubCa }, userAgent(agentVersion))
}

function connect({ registry }: Identity): Registry {
  const { host, ca, username, password } = registry
  return new Registry({
    host,
    ...(ca === undefined ? {} : { ca }),
    ...(username === undefined || password === undefined ? {} : { credentials: { username, password } }),
    userAgent: userAgent(agentVersion),
  })
}

function tellCache(store: string, trouble: string | undefined, logger: Logger): void {
  if (trouble === undefined) {
    logger.info({ store }, 'the disk takes content again')
    return
  }
  const detail = 'What is pulled is not kept: it is asked of the registry each time, and after a restart without the registry drift waits.'
  logger.warn({ store, code: trouble, detail }, 'the disk takes no content; make room there')
}

async function trimAll(cache: ContentCache, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(trimMs, signal).catch(() => undefined)
    if (!signal.aborted) await cache.trim()
  }
}
