import { join } from 'node:path'
import { Cgroups } from './cgroup.ts'
import { ClusterRuntime, type ClusterStatus, clusterPlaces, type Progress } from './cluster.ts'
import { HostError, messageOf } from './errors.ts'
import { readText, remove } from './files.ts'
import { type ClusterPlan, checkClusterName, type Instance, kernelNames, limits, paths, planCluster, xOf } from './instance.ts'
import { rotate } from './logs.ts'
import {
  ensureAtLeast,
  ensureFirewall,
  ensureRegistryBridge,
  ensureRuntimeFolders,
  removeInstanceNetwork,
  takenAddresses,
} from './network.ts'
import { verifyNodeImage } from './node-image.ts'
import { ensureInstancePki } from './pki.ts'
import type { Component, ComponentStatus } from './process.ts'
import { createRegistry, ensureRegistryAccess, type RegistryAccess } from './registry.ts'
import { type Desired, freeIndex, type HostConfig, readDesired, writeDesired } from './state.ts'

/** `failed`: the last start did not come to its end; components that did start are kept running all the same. */
export type HostPhase = 'stopped' | 'starting' | 'running' | 'stopping' | 'failed'

export type ComponentAction = 'start' | 'stop' | 'restart'

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

interface Base {
  readonly plans: readonly ClusterPlan[]
  readonly access: RegistryAccess
  /** File with the certificate of the instance's authority. */
  readonly instanceCa: string
  readonly cgroups: Cgroups
}

interface Options {
  readonly instance: Instance
  readonly log: (message: string) => void
  readonly now: () => Date
}

const statusTimeoutMs = 2_000
const minimumInotifyInstances = 8192
const minimumInotifyWatches = 524_288

/**
 * The embedded environment of one instance: registry and clusters. Changes of what is to be are made one after the other;
 * clusters then start side by side.
 */
export class Host {
  readonly instance: Instance
  readonly #log: (message: string) => void
  readonly #now: () => Date
  readonly #since: Date
  #cgroups: Cgroups | undefined
  #state: 'up' | 'stopped' | 'stopping' = 'stopped'
  #failure: string | undefined
  #preparing = false
  #registry: Component | undefined
  readonly #clusters = new Map<string, ClusterRuntime>()
  readonly #starting = new Map<string, { readonly abort: AbortController; readonly done: Promise<void> }>()
  /** Aborted by `stop`, whatever is going on. */
  #work = new AbortController()
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
   * Starts the registry alone: what clusters run must be in it before they start.
   * @throws HostError `NotReady`, `AddressesTaken`, `CommandFailed`, `Stopped`
   */
  async startRegistry(progress: Progress): Promise<void> {
    await this.#exclusively(async (signal) => {
      await this.#base(await readDesired(this.instance.state), progress, signal)
    })
  }

  /**
   * Stops a component, which then stays down until it is started or the instance is; starts it; or both.
   * @throws HostError `ComponentUnknown`, `NotReady`
   */
  async actOn(name: string, action: ComponentAction): Promise<void> {
    const component = this.#component(name)
    this.#log(`${name}: ${action} as asked`)
    if (action !== 'start') await component.stop()
    if (action === 'stop') return
    component.start()
    await component.whenReady(this.#work.signal)
  }

  /**
   * Starts the registry and all clusters that there are to be. Safe to repeat.
   * @throws HostError `NotConfigured`, `NotReady`, `AddressesTaken`, `ImageDigest`, `CommandFailed`, `Stopped`
   */
  async start(config: HostConfig | undefined, progress: Progress): Promise<void> {
    const started = await this.#exclusively(async (signal) => {
      // Before anything that runs is touched: a damaged image must not take down nodes that have a good one.
      if (config !== undefined) await verifyNodeImage(config.nodeImage)
      const before = await readDesired(this.instance.state)
      const desired = { ...before, running: true, ...(config === undefined ? {} : { config }) }
      await writeDesired(this.instance.state, desired)
      if (JSON.stringify(before.config) !== JSON.stringify(desired.config)) await this.#release()
      const base = await this.#base(desired, progress, signal)
      const made = this.#configured(desired)
      return base.plans.map((plan) => this.#startCluster(plan, base, made, progress))
    })
    await allOrFirstError(started)
  }

  /**
   * Makes a cluster and starts it, or makes sure that the one of this name runs.
   * @throws HostError as `start`, and `ClusterInvalid`, `TooManyClusters`
   */
  async createCluster(name: string, nodes: number, progress: Progress): Promise<void> {
    checkClusterName(name)
    const started = await this.#exclusively(async (signal) => {
      const desired = await readDesired(this.instance.state)
      const made = this.#configured(desired)
      await verifyNodeImage(made.nodeImage)
      if (!desired.clusters.some((cluster) => cluster.name === name)) {
        const index = freeIndex(desired)
        if (index === undefined) {
          throw new HostError('TooManyClusters', `There is no room for cluster ${name}: ${limits.clusters} exist; delete one.`)
        }
        desired.clusters.push({ name, index, nodes })
      }
      desired.running = true
      await writeDesired(this.instance.state, desired)
      const base = await this.#base(desired, progress, signal)
      return base.plans.filter((plan) => plan.name === name).map((plan) => this.#startCluster(plan, base, made, progress))
    })
    await allOrFirstError(started)
  }

  /**
   * Stops a cluster and forgets it with all its data.
   * @throws HostError `ClusterUnknown`
   */
  async deleteCluster(name: string): Promise<void> {
    await this.#exclusively(async () => {
      const desired = await readDesired(this.instance.state)
      const plan = this.#plans(desired).find((cluster) => cluster.name === name)
      if (plan === undefined) {
        throw new HostError('ClusterUnknown', `Instance ${this.instance.id} has no cluster ${name}; \`muster status\` lists them.`)
      }
      const left = { ...desired, clusters: desired.clusters.filter((cluster) => cluster.name !== name) }
      await writeDesired(this.instance.state, left)
      const starting = this.#starting.get(name)
      starting?.abort.abort(new HostError('Stopped', `Cluster ${name} is being deleted.`))
      await starting?.done.catch(() => undefined)
      await this.#clusters.get(name)?.stop()
      this.#clusters.delete(name)
      await Promise.all(clusterPlaces(this.instance, plan).map(remove))
      if (desired.running) await ensureFirewall(this.instance, this.#plans(left))
    })
  }

  /** Stops everything, in reverse order, and leaves nothing but the state folder. `forget`: not to be resumed. */
  async stop(options: { readonly forget: boolean }): Promise<void> {
    this.#work.abort(new HostError('Stopped', `Instance ${this.instance.id} is being stopped.`))
    await this.#exclusively(async () => {
      this.#state = 'stopping'
      if (options.forget) await writeDesired(this.instance.state, { ...(await readDesired(this.instance.state)), running: false })
      await Promise.allSettled([...this.#starting.values()].map((start) => start.done))
      await Promise.all([...this.#clusters.values()].map((cluster) => cluster.stop()))
      this.#clusters.clear()
      await this.#registry?.stop()
      this.#registry = undefined
      await this.#clean()
      this.#state = 'stopped'
      this.#failure = undefined
      this.#work = new AbortController()
    })
  }

  async status(): Promise<HostStatus> {
    const signal = AbortSignal.timeout(statusTimeoutMs)
    return {
      instance: this.instance.id,
      state: this.instance.state,
      pid: process.pid,
      since: this.#since.toISOString(),
      phase: this.#phase(),
      ...(this.#failure === undefined ? {} : { message: this.#failure }),
      clusters: await Promise.all(
        [...this.#clusters.values()].sort((a, b) => a.plan.index - b.plan.index).map((cluster) => cluster.status(signal)),
      ),
      components: await Promise.all(this.#components().map((component) => component.status())),
    }
  }

  /** The log file of a component, or of the daemon itself ("host"), or the audit log of a cluster ("hub/audit"). */
  logFile(name: string): string {
    const { logs } = paths(this.instance.state)
    if (name === 'host') return join(logs, 'host.log')
    const audited = /^(.*)\/audit$/.exec(name)?.[1]
    if (audited !== undefined && this.#clusters.has(audited)) return join(logs, audited, 'audit.log')
    return this.#component(name).spec.logFile
  }

  #component(name: string): Component {
    const component = this.#components().find((candidate) => candidate.spec.name === name)
    if (component !== undefined) return component
    const known = ['host', ...this.#components().map((candidate) => candidate.spec.name)].join(', ')
    throw new HostError('ComponentUnknown', `There is no component ${name}; there are: ${known}.`)
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

  #phase(): HostPhase {
    if (this.#state !== 'up') return this.#state
    if (this.#starting.size > 0 || this.#preparing) return 'starting'
    return this.#failure === undefined ? 'running' : 'failed'
  }

  /** What every cluster stands on: certificates, bridge, packet filter, registry. */
  async #base(desired: Desired, progress: Progress, signal: AbortSignal): Promise<Base> {
    this.#state = 'up'
    this.#failure = undefined
    this.#preparing = true
    try {
      const taken = await takenAddresses(kernelNames(this.instance).alias)
      const clash = taken.find((address) => xOf(address) === this.instance.x)
      if (clash !== undefined) {
        throw new HostError(
          'AddressesTaken',
          `Instance ${this.instance.id} has the addresses 10.${this.instance.x}.0.0/16, but something else on this machine has ${clash}; take that down, or use another instance id.`,
        )
      }
      const cgroups = await this.#machine()
      const pki = await ensureInstancePki(paths(this.instance.state).pki, this.instance, this.#now())
      const access = await ensureRegistryAccess(this.instance, pki.ca.certificate)
      const plans = this.#plans(desired)
      await ensureRegistryBridge(this.instance)
      await ensureFirewall(this.instance, plans)
      if (this.#registry === undefined) {
        progress('registry: starts')
        this.#registry = await createRegistry({ instance: this.instance, access, pki, cgroups, log: this.#log })
      }
      this.#registry.start()
      await this.#registry.whenReady(signal)
      return { plans, access, instanceCa: pki.ca.certificate, cgroups }
    } catch (error) {
      this.#failed(error)
      throw error
    } finally {
      this.#preparing = false
    }
  }

  #configured(desired: Desired): HostConfig {
    if (desired.config !== undefined) return desired.config
    throw new HostError(
      'NotConfigured',
      `Instance ${this.instance.id} does not know its binaries and node image yet; start it with \`muster up\`.`,
    )
  }

  /** Starts a cluster, or joins the start that goes on. */
  #startCluster(plan: ClusterPlan, base: Base, config: HostConfig, progress: Progress): Promise<void> {
    const present = this.#starting.get(plan.name)
    if (present !== undefined) return present.done
    const abort = new AbortController()
    const start = async (): Promise<void> => {
      try {
        const { access, instanceCa, cgroups } = base
        const cluster =
          this.#clusters.get(plan.name) ??
          (await ClusterRuntime.prepare({
            instance: this.instance,
            plan,
            config,
            access,
            instanceCa,
            cgroups,
            log: this.#log,
            now: this.#now,
          }))
        this.#clusters.set(plan.name, cluster)
        await cluster.start((message) => progress(`${plan.name}: ${message}`), AbortSignal.any([abort.signal, this.#work.signal]))
        progress(`${plan.name}: ready`)
      } catch (error) {
        this.#failed(error)
        throw error
      } finally {
        this.#starting.delete(plan.name)
      }
    }
    // One step later, so that the entry is there before the work can end.
    const done = Promise.resolve().then(start)
    done.catch(() => undefined)
    this.#starting.set(plan.name, { abort, done })
    return done
  }

  #failed(error: unknown): void {
    if (!(error instanceof HostError && error.code === 'Stopped')) this.#failure = messageOf(error)
  }

  /** Another configuration reaches clusters that run by preparing them anew; what would be started as before stays up. */
  async #release(): Promise<void> {
    for (const start of this.#starting.values()) start.abort.abort(new HostError('Stopped', 'The configuration changed.'))
    await Promise.allSettled([...this.#starting.values()].map((start) => start.done))
    await Promise.all([...this.#clusters.values()].map((cluster) => cluster.release()))
    this.#clusters.clear()
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
      return await work(this.#work.signal)
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
