import { join } from 'node:path'
import { Cgroups } from './cgroup.ts'
import { ClusterRuntime, type ClusterStatus, clusterPlaces, type Progress } from './cluster.ts'
import { HostError, messageOf } from './errors.ts'
import { readText, remove } from './files.ts'
import { type ClusterPlan, checkClusterName, type Instance, kernelNames, limits, paths, planCluster } from './instance.ts'
import { rotate } from './logs.ts'
import { ensureAtLeast, ensureFirewall, ensureRegistryBridge, ensureRuntimeFolders, removeInstanceNetwork } from './network.ts'
import { ensureInstancePki } from './pki.ts'
import type { Component, ComponentStatus } from './process.ts'
import { createRegistry, ensureRegistryAccess } from './registry.ts'
import { type Desired, freeIndex, type HostConfig, readDesired, writeDesired } from './state.ts'

/** `failed`: the last start did not come to its end; components that did start are kept running all the same. */
export type HostPhase = 'stopped' | 'starting' | 'running' | 'stopping' | 'failed'

export interface HostStatus {
  readonly instance: string
  readonly state: string
  readonly pid: number
  /** Start of the daemon, RFC 3339. */
  readonly since: string
  readonly phase: HostPhase
  readonly message?: string
  readonly clusters: readonly ClusterStatus[]
  readonly components: readonly ComponentStatus[]
}

interface Options {
  readonly instance: Instance
  readonly log: (message: string) => void
  readonly now: () => Date
}

const statusTimeoutMs = 2_000
const minimumInotifyInstances = 8192
const minimumInotifyWatches = 524_288

/** The embedded environment of one instance: registry and clusters. What is asked of it is done one thing after the other. */
export class Host {
  readonly instance: Instance
  readonly #log: (message: string) => void
  readonly #now: () => Date
  readonly #since: Date
  #cgroups: Cgroups | undefined
  #phase: HostPhase = 'stopped'
  #message: string | undefined
  #registry: Component | undefined
  readonly #clusters = new Map<string, ClusterRuntime>()
  /** What runs now, and the end of the queue behind it. */
  #current = new AbortController()
  #queue: Promise<unknown> = Promise.resolve()

  constructor(options: Options) {
    this.instance = options.instance
    this.#log = options.log
    this.#now = options.now
    this.#since = options.now()
  }

  /** Brings back what is to run, after the daemon or the machine went down. */
  async resume(): Promise<void> {
    const desired = await readDesired(this.instance.state)
    if (!desired.running) return
    this.#log('resumes what is to run')
    await this.start(undefined, this.#log)
  }

  /**
   * Starts the registry and all clusters that there are to be. Safe to repeat.
   * @throws HostError `NotConfigured`, `NotReady`, `AddressesTaken`, `ImageDigest`, `CommandFailed`
   */
  async start(config: HostConfig | undefined, progress: Progress): Promise<void> {
    await this.#exclusively(async (signal) => {
      const before = await readDesired(this.instance.state)
      const desired = { ...before, running: true, ...(config === undefined ? {} : { config }) }
      await writeDesired(this.instance.state, desired)
      // Another configuration reaches clusters that run by making them anew; components whose command is the same stay up.
      if (JSON.stringify(before.config) !== JSON.stringify(desired.config)) this.#clusters.clear()
      await this.#bringUp(desired, progress, signal)
    })
  }

  /**
   * Makes a cluster and starts it, or makes sure that the one of this name runs.
   * @throws HostError as `start`, and `ClusterInvalid`, `TooManyClusters`
   */
  async createCluster(name: string, nodes: number, progress: Progress): Promise<void> {
    checkClusterName(name)
    await this.#exclusively(async (signal) => {
      const desired = await readDesired(this.instance.state)
      if (!desired.clusters.some((cluster) => cluster.name === name)) {
        const index = freeIndex(desired)
        if (index === undefined)
          throw new HostError('TooManyClusters', `There is no room for cluster ${name}: ${limits.clusters} exist; delete one.`)
        desired.clusters.push({ name, index, nodes })
      }
      desired.running = true
      await writeDesired(this.instance.state, desired)
      await this.#bringUp(desired, progress, signal, name)
    })
  }

  /**
   * Stops a cluster and forgets it with all its data.
   * @throws HostError `ClusterUnknown`
   */
  async deleteCluster(name: string): Promise<void> {
    await this.#exclusively(async () => {
      const desired = await readDesired(this.instance.state)
      const plan = this.#plans(desired).find((cluster) => cluster.name === name)
      if (plan === undefined)
        throw new HostError('ClusterUnknown', `Instance ${this.instance.id} has no cluster ${name}; \`muster status\` lists them.`)
      const left = { ...desired, clusters: desired.clusters.filter((cluster) => cluster.name !== name) }
      await writeDesired(this.instance.state, left)
      await this.#clusters.get(name)?.stop()
      this.#clusters.delete(name)
      await Promise.all(clusterPlaces(this.instance, plan).map(remove))
      if (desired.running) await ensureFirewall(this.instance, this.#plans(left))
    })
  }

  /** Stops everything, in reverse order, and leaves nothing but the state folder. `forget`: not to be resumed. */
  async stop(options: { readonly forget: boolean }): Promise<void> {
    this.#current.abort(new HostError('Stopped', `Instance ${this.instance.id} is being stopped.`))
    await this.#exclusively(async () => {
      this.#phase = 'stopping'
      if (options.forget) await writeDesired(this.instance.state, { ...(await readDesired(this.instance.state)), running: false })
      await Promise.all([...this.#clusters.values()].map((cluster) => cluster.stop()))
      this.#clusters.clear()
      await this.#registry?.stop()
      this.#registry = undefined
      await this.#clean()
      this.#phase = 'stopped'
      this.#message = undefined
    })
  }

  async status(): Promise<HostStatus> {
    const signal = AbortSignal.timeout(statusTimeoutMs)
    return {
      instance: this.instance.id,
      state: this.instance.state,
      pid: process.pid,
      since: this.#since.toISOString(),
      phase: this.#phase,
      ...(this.#message === undefined ? {} : { message: this.#message }),
      clusters: await Promise.all([...this.#clusters.values()].map((cluster) => cluster.status(signal))),
      components: await Promise.all(this.#components().map((component) => component.status())),
    }
  }

  /** The log file of a component, or of the daemon itself ("host"), or the audit log of a cluster ("hub/audit"). */
  logFile(name: string): string {
    const { logs } = paths(this.instance.state)
    if (name === 'host') return join(logs, 'host.log')
    const audited = /^(.*)\/audit$/.exec(name)?.[1]
    if (audited !== undefined && this.#clusters.has(audited)) return join(logs, audited, 'audit.log')
    const component = this.#components().find((candidate) => candidate.spec.name === name)
    if (component === undefined) {
      const known = ['host', ...this.#components().map((candidate) => candidate.spec.name)].join(', ')
      throw new HostError('BadRequest', `There is no component ${name}; there are: ${known}.`)
    }
    return component.spec.logFile
  }

  /** Keeps logs within their size. Called at an interval. */
  async rotateLogs(): Promise<void> {
    for (const component of this.#components()) await rotate(component.spec.logFile)
    await rotate(join(paths(this.instance.state).logs, 'host.log'))
  }

  #components(): Component[] {
    return [
      ...(this.#registry === undefined ? [] : [this.#registry]),
      ...[...this.#clusters.values()].flatMap((cluster) => cluster.components),
    ]
  }

  #plans(desired: Desired): ClusterPlan[] {
    const hub = desired.config?.hub
    return desired.clusters.map((cluster) => planCluster(this.instance, { ...cluster, hub: cluster.name === hub }))
  }

  async #bringUp(desired: Desired, progress: Progress, signal: AbortSignal, only?: string): Promise<void> {
    const { config } = desired
    if (config === undefined) {
      throw new HostError(
        'NotConfigured',
        `Instance ${this.instance.id} does not know its binaries and node image yet; start it with \`muster up\`.`,
      )
    }
    this.#phase = this.#phase === 'running' ? 'running' : 'starting'
    try {
      const cgroups = await this.#machine()
      const pki = await ensureInstancePki(paths(this.instance.state).pki, this.instance, this.#now())
      const access = await ensureRegistryAccess(this.instance, pki.ca.certificate)
      const plans = this.#plans(desired)
      await ensureRegistryBridge(this.instance)
      await ensureFirewall(this.instance, plans)
      progress('registry: starts')
      this.#registry ??= await createRegistry({ instance: this.instance, access, pki, cgroups, log: this.#log })
      this.#registry.start()
      await this.#registry.whenReady(signal)
      const started = plans
        .filter((plan) => only === undefined || plan.name === only)
        .map(async (plan) => {
          const cluster =
            this.#clusters.get(plan.name) ??
            (await ClusterRuntime.prepare({
              instance: this.instance,
              plan,
              config,
              access,
              instanceCa: pki.ca.certificate,
              cgroups,
              log: this.#log,
              now: this.#now,
            }))
          this.#clusters.set(plan.name, cluster)
          await cluster.start((message) => progress(`${plan.name}: ${message}`), signal)
          progress(`${plan.name}: ready`)
        })
      await allOrFirstError(started)
      this.#phase = 'running'
      this.#message = undefined
    } catch (error) {
      if (!signal.aborted) {
        this.#phase = 'failed'
        this.#message = messageOf(error)
      }
      throw error
    }
  }

  async #machine(): Promise<Cgroups> {
    await ensureRuntimeFolders()
    // Each kubelet and containerd takes some; the usual 128 is too few for several nodes on one machine.
    await ensureAtLeast('fs/inotify/max_user_instances', minimumInotifyInstances, readText)
    await ensureAtLeast('fs/inotify/max_user_watches', minimumInotifyWatches, readText)
    this.#cgroups ??= await Cgroups.detect()
    return this.#cgroups
  }

  /** Whatever is left by name: of a cluster that could not be prepared, or of an earlier daemon. */
  async #clean(): Promise<void> {
    const cgroups = this.#cgroups ?? (await Cgroups.detect())
    await cgroups.remove(kernelNames(this.instance).cgroup)
    await removeInstanceNetwork(this.instance.id)
  }

  async #exclusively<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      this.#current = new AbortController()
      return await work(this.#current.signal)
    })
    this.#queue = turn.catch(() => undefined)
    return await turn
  }
}

/** Waits for all, so that nothing goes on behind a failure, then throws the first one. */
async function allOrFirstError(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
