import { apiVersion, type InventoryEntry, type Release } from '@muster/api'
import { type Condition, type KubeClient, type KubeObject, setCondition, type TypedObject } from '@muster/kube'
import { fieldManager } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

type Status = NonNullable<Release['status']>
/** A Release as the API server returns it. */
export type LiveRelease = Release & TypedObject

/**
 * Label on every Release: the cluster name under which it was installed. An agent looks at those of its own name only, so that a cluster
 * that gets a wrong identity by mistake does not prune what it has.
 */
export const clusterLabel = 'muster.dev/cluster'

/** Reads and writes the Release object of each release: what people see, and what a restart begins with. */
export class ReleaseObjects {
  readonly #client: KubeClient
  readonly #cluster: string
  readonly #now: () => Date
  /** The status last written, so that nothing is written twice. */
  readonly #written = new Map<string, string>()

  constructor(client: KubeClient, cluster: string, now: () => Date) {
    this.#client = client
    this.#cluster = cluster
    this.#now = now
  }

  /** The Release as wanted: made or brought up to date where it is not. */
  async ensure(entry: ChannelRelease, generation: number, signal: AbortSignal): Promise<LiveRelease> {
    const { repository, version, digest } = entry.bundle
    const spec: Release['spec'] = {
      bundle: { repository, version, digest },
      ...(entry.namespace === undefined ? {} : { namespace: entry.namespace }),
      channelGeneration: generation,
    }
    const live = await this.find(entry.name, signal)
    const labels = { [clusterLabel]: this.#cluster }
    if (live !== undefined && live.metadata.labels?.[clusterLabel] === this.#cluster && sameSpec(live.spec, spec)) return live
    if (live === undefined) this.#written.delete(entry.name)
    return this.#client.apply<LiveRelease>({ apiVersion, kind: 'Release', metadata: { name: entry.name, labels }, spec } as TypedObject, {
      fieldManager,
      force: true,
      signal,
    })
  }

  async find(name: string, signal: AbortSignal): Promise<LiveRelease | undefined> {
    return this.#client.find<LiveRelease>({ apiVersion, kind: 'Release', name }, { signal })
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    this.#written.delete(name)
    await this.#client.delete({ apiVersion, kind: 'Release', name }, { propagation: 'Background', signal })
  }

  /** Writes the status in one patch, where it changed. */
  async write(live: LiveRelease, runtime: ReleaseRuntime, outcome: Outcome | undefined, signal: AbortSignal): Promise<void> {
    const status = statusOf(live, runtime, outcome, this.#now())
    const text = JSON.stringify(status)
    if (this.#written.get(live.metadata.name) === text) return
    const object = { apiVersion, kind: 'Release', metadata: { name: live.metadata.name }, status } as TypedObject
    await this.#client.apply<KubeObject>(object, { fieldManager, force: true, subresource: 'status', signal })
    this.#written.set(live.metadata.name, text)
  }
}

/** The status that a runtime and an outcome amount to. Pure. */
export function statusOf(live: LiveRelease, runtime: ReleaseRuntime, outcome: Outcome | undefined, now: Date): Status {
  const running = runtime.applied ?? runtime.remembered
  const generation = live.metadata.generation
  // The two packages write the same type, one of them with zod's explicit undefined.
  const before = (live.status?.conditions ?? []) as readonly Condition[]
  const conditions: readonly Condition[] =
    outcome === undefined
      ? before
      : setCondition(
          before,
          {
            type: 'Ready',
            status: outcome.ready ? 'True' : 'False',
            reason: outcome.reason,
            message: outcome.message,
            ...(generation === undefined ? {} : { observedGeneration: generation }),
          },
          now,
        )
  return {
    conditions: [...conditions],
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    ...(running === undefined ? {} : { appliedDigest: running.digest, appliedVersion: running.version, signedBy: [...running.signedBy] }),
    inventory: runtime.inventory.map(plainEntry),
    drift: runtime.drift,
  }
}

function plainEntry({ apiVersion: version, kind, namespace, name, uid }: InventoryEntry): InventoryEntry {
  return { apiVersion: version, kind, ...(namespace === undefined ? {} : { namespace }), name, ...(uid === undefined ? {} : { uid }) }
}

function sameSpec(a: Release['spec'], b: Release['spec']): boolean {
  return (
    a.namespace === b.namespace &&
    a.channelGeneration === b.channelGeneration &&
    a.bundle.repository === b.bundle.repository &&
    a.bundle.version === b.bundle.version &&
    a.bundle.digest === b.bundle.digest
  )
}
