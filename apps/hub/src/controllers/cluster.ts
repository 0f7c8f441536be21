import { isDeepStrictEqual } from 'node:util'
import type { Cluster, Placement, Tenant, TrustPolicy } from '@muster/api'
import type { ReconcileResult } from '@muster/kube'
import type { Publisher } from '@muster/trust'
import type { Channels, PublishedChannel } from '../channel/channels.ts'
import { type Compiled, compileChannel, placementsOf, renewIn } from '../channel/compile.ts'
import { type PolicyCheck, policiesFor } from '../channel/policies.ts'
import type { ClusterStore, ControllerStatus } from '../cluster-store.ts'
import { errorFields, type Log } from '../log.ts'
import { clusterReady, silentIn } from './cluster-ready.ts'
import { withReady } from './ready-condition.ts'

/** What the controller reads: live copies that are complete, or it would not be called. */
export interface FleetView {
  cluster(name: string): Cluster | undefined
  placements(): readonly Placement[]
  /** @throws HubError `PublishersUnreadable` */
  publishers(): readonly Publisher[]
  policies(): readonly TrustPolicy[]
  tenants(): readonly Tenant[]
}

export interface ClusterControllerOptions {
  readonly view: FleetView
  readonly channels: Channels
  readonly policyCheck: PolicyCheck
  readonly store: Pick<ClusterStore, 'writeStatus'>
  readonly now: () => Date
  readonly validityMs: number
  readonly silentAfterMs: number
  readonly recheckMs: number
  /** Told of a cluster that is gone. */
  readonly gone: (name: string) => void
  readonly log: Log
}

interface Outcome {
  readonly published: PublishedChannel | undefined
  readonly error?: unknown
  /** Whether the cluster waits for something that could not be published. */
  readonly failed: boolean
}

/**
 * Brings a cluster's channel and status up to date: what placements want → channel in the registry; what the agent reports → the
 * condition `Ready`. A cluster that was deleted is left alone: its last channel stays, and so does what runs there.
 */
export class ClusterController {
  readonly #options: ClusterControllerOptions

  constructor(options: ClusterControllerOptions) {
    this.#options = options
  }

  async reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const { view, now, validityMs, silentAfterMs, recheckMs, gone } = this.#options
    const cluster = view.cluster(name)
    if (!cluster || cluster.metadata.deletionTimestamp !== undefined) {
      gone(name)
      return undefined
    }
    const outcome = await this.#bringChannel(cluster, signal)
    await this.#writeStatus(cluster, outcome, signal)
    // Thrown after the status was written, so that it says why; then it is tried again with backoff.
    if (outcome.error !== undefined) throw outcome.error
    const at = now()
    const silent = silentIn(cluster.status, at, silentAfterMs)
    const renew = outcome.published && renewIn(outcome.published.content, at, validityMs)
    return { requeueAfterMs: Math.max(1000, Math.min(silent ?? recheckMs, renew ?? recheckMs, recheckMs)) }
  }

  async #bringChannel(cluster: Cluster, signal: AbortSignal): Promise<Outcome> {
    const { channels, log } = this.#options
    const { name } = cluster.metadata
    let published: PublishedChannel | undefined
    let unreachable: unknown
    try {
      try {
        published = await channels.current(name, { fresh: false, signal })
      } catch (error) {
        const known = channels.lastKnown(name)
        if (!known) throw error
        unreachable = error
        published = known.published
      }
      if ((await this.#compile(cluster, published, signal)).publish === undefined) return { published, error: unreachable, failed: false }
      if (unreachable !== undefined) throw unreachable
      // Looked at once more just before it is written: the generation must go beyond what is really there.
      published = await channels.current(name, { fresh: true, signal })
      const { content, publish } = await this.#compile(cluster, published, signal)
      if (publish === undefined) return { published, failed: false }
      published = await channels.publish(content, signal)
      log.info(
        { cluster: name, generation: content.generation, why: publish, releases: content.releases.length, digest: published.digest },
        'published a channel',
      )
      return { published, failed: false }
    } catch (error) {
      if (signal.aborted) throw error
      return { published, error, failed: true }
    }
  }

  async #compile(cluster: Cluster, published: PublishedChannel | undefined, signal: AbortSignal): Promise<Compiled> {
    const { view, channels, policyCheck, now, validityMs } = this.#options
    const publishers = view.publishers()
    const policies = policiesFor(cluster, view.policies())
    await policyCheck.demandUsable(policies)
    const placements = view.placements()
    const previous = published?.content
    const bundles = placementsOf(cluster, placements).map((placement) => placement.spec.bundle)
    const sizeOf = await channels.sizes(bundles, previous, signal)
    return compileChannel({ cluster, placements, publishers, policies, tenants: view.tenants(), previous, now: now(), validityMs, sizeOf })
  }

  async #writeStatus(cluster: Cluster, { published, error, failed }: Outcome, signal: AbortSignal): Promise<void> {
    const { store, now, silentAfterMs, log } = this.#options
    const { status, metadata } = cluster
    const at = now()
    const failure = failed ? (error instanceof Error ? error.message : String(error)) : undefined
    const ready = clusterReady({ status, content: published?.content, failure, now: at, silentAfterMs })
    const channel = published
      ? { generation: published.content.generation, digest: published.digest, publishedAt: published.content.issuedAt }
      : status?.channel
    const next: ControllerStatus = {
      ...(channel ? { channel } : {}),
      conditions: withReady(status?.conditions, ready, metadata.generation, at),
      ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    }
    const present = { channel: status?.channel, conditions: status?.conditions, observedGeneration: status?.observedGeneration }
    if (isDeepStrictEqual({ channel: next.channel, conditions: next.conditions, observedGeneration: next.observedGeneration }, present))
      return
    try {
      await store.writeStatus(metadata.name, next, signal)
    } catch (cause) {
      // The reason why the channel failed is worth more than that it could not be noted.
      if (error === undefined) throw cause
      log.warn({ cluster: metadata.name, ...errorFields(cause) }, 'could not write the status of a cluster')
    }
  }
}
