import type { KubeClient } from './client.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import { isKubeError, KubeError } from './error.ts'
import { microTime } from './micro-time.ts'
import type { ObjectMeta } from './object.ts'
import { orAborted } from './or-aborted.ts'

/** A lease that was not renewed for so long is free, in milliseconds. */
const defaultLeaseMs = 15_000
/** A leader that could not renew for so long steps down. Less than the lease, so that there are never two. */
const defaultRenewMs = 10_000
const defaultRetryMs = 2_000
/** Time to give the lease back at the end. */
const releaseMs = 3_000

export interface LeaderElectorOptions {
  /** Name of the Lease. */
  readonly name: string
  readonly namespace: string
  /** Who this instance is; different in each process, such as the pod's name with a random part. */
  readonly identity: string
  readonly leaseMs?: number | undefined
  readonly renewMs?: number | undefined
  readonly retryMs?: number | undefined
  readonly onError?: ((error: unknown) => void) | undefined
  readonly clock?: Clock | undefined
}

type Lease = {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  spec?: {
    holderIdentity?: string
    leaseDurationSeconds?: number
    acquireTime?: string
    renewTime?: string
    leaseTransitions?: number
  }
}

/**
 * Lets one of several instances lead. Only differences on this machine's own clock count: the clocks of the others may be wrong.
 * Source: coordination.k8s.io/v1 Lease; the times are client-go's.
 */
export class LeaderElector {
  readonly #client: Pick<KubeClient, 'find' | 'create' | 'replace'>
  readonly #options: LeaderElectorOptions
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #renewMs: number
  readonly #retryMs: number
  readonly #elected = Promise.withResolvers<void>()
  #lease: Lease | undefined
  #observedAt = 0
  #leading = false

  constructor(client: Pick<KubeClient, 'find' | 'create' | 'replace'>, options: LeaderElectorOptions) {
    this.#client = client
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#leaseMs = options.leaseMs ?? defaultLeaseMs
    this.#renewMs = options.renewMs ?? defaultRenewMs
    this.#retryMs = options.retryMs ?? defaultRetryMs
    if (this.#renewMs >= this.#leaseMs || this.#retryMs >= this.#renewMs) {
      throw new KubeError('Config', 'A leader must step down before its lease is free: set retryMs < renewMs < leaseMs.')
    }
  }

  get name(): string {
    return `election ${this.#options.namespace}/${this.#options.name}`
  }

  get leading(): boolean {
    return this.#leading
  }

  /** Who leads, as far as this instance has seen. */
  get leader(): string | undefined {
    return this.#lease?.spec?.holderIdentity
  }

  /** Resolves when this instance leads. Throws `Aborted`. */
  async whenLeading(signal: AbortSignal): Promise<void> {
    await orAborted(this.#elected.promise, signal, `the ${this.name}`)
  }

  /** Stands for election, leads, and gives the lease back when the signal is aborted. Throws `LeaderLost`. Runs once. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !(await this.#try(signal, this.#renewMs)))
      await pause(this.#retryMs * (1 + 0.2 * this.#clock.random()), signal, this.#clock)
    if (!this.#leading) return
    this.#elected.resolve()
    try {
      await this.#hold(signal)
    } finally {
      this.#leading = false
    }
    await this.#release()
  }

  async #hold(signal: AbortSignal): Promise<void> {
    let renewedAt = this.#clock.now()
    for (;;) {
      await pause(this.#retryMs, signal, this.#clock)
      if (signal.aborted) return
      // the request itself must not outlast the time in which this instance may lead
      const started = this.#clock.now()
      const left = renewedAt + this.#renewMs - started
      const renewed = left > 0 && (await this.#try(signal, left))
      if (signal.aborted) return
      if (renewed) renewedAt = started
      else if (this.leader !== this.#options.identity || this.#clock.now() - renewedAt >= this.#renewMs) {
        throw new KubeError(
          'LeaderLost',
          `The ${this.name} is lost${this.leader ? ` to ${this.leader}` : ''}. Stop working, and start again.`,
        )
      }
    }
  }

  /** Takes or renews the lease. False: somebody else has it, or the server did not answer well. */
  async #try(signal: AbortSignal, timeoutMs: number): Promise<boolean> {
    const { name, namespace, identity } = this.#options
    const call = { signal, timeoutMs }
    try {
      const lease = await this.#client.find<Lease>({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', name, namespace }, call)
      this.#observe(lease)
      const holder = lease?.spec?.holderIdentity
      const validMs = (lease?.spec?.leaseDurationSeconds ?? 0) * 1000
      if (holder && holder !== identity && this.#clock.now() < this.#observedAt + validMs) return false
      const now = microTime(this.#clock.date())
      const taken = holder !== identity
      const spec = {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: taken ? now : (lease?.spec?.acquireTime ?? now),
        renewTime: now,
        leaseTransitions: (lease?.spec?.leaseTransitions ?? 0) + (taken && lease ? 1 : 0),
      }
      const metadata = { ...lease?.metadata, name, namespace }
      const next: Lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec }
      this.#observe(lease ? await this.#client.replace(next, call) : await this.#client.create(next, call))
      this.#leading = true
      return true
    } catch (error) {
      if (!signal.aborted && !isKubeError(error, 'Conflict', 'AlreadyExists')) this.#options.onError?.(error)
      return false
    }
  }

  #observe(lease: Lease | undefined): void {
    if (lease && lease.metadata.resourceVersion === this.#lease?.metadata.resourceVersion) return
    this.#lease = lease
    this.#observedAt = this.#clock.now()
  }

  async #release(): Promise<void> {
    const lease = this.#lease
    if (!lease?.spec || lease.spec.holderIdentity !== this.#options.identity) return
    const { holderIdentity: _, ...rest } = lease.spec
    try {
      await this.#client.replace({ ...lease, spec: { ...rest, leaseDurationSeconds: 1 } }, { timeoutMs: releaseMs })
    } catch (error) {
      // it runs out by itself
      this.#options.onError?.(error)
    }
  }
}
