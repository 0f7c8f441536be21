import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type InventoryEntry, type Release } from '@muster/api'
import { type Condition, type InformerEvent, type KubeClient, type KubeObject, setCondition, type TypedObject } from '@muster/kube'
import { fieldManager } from '@muster/reconcile'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import { plannedOf } from './planned.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

type Spec = Release['spec']
type Status = NonNullable<Release['status']>

/** What is kept in memory of a Release object: all but its lists of objects. */
export interface LiveRelease {
  readonly name: string
  readonly uid: string
  readonly generation: number
  /** ISO 8601 */
  readonly createdAt: string | undefined
  /** The cluster name that it is labelled with. */
  readonly cluster: string | undefined
  readonly spec: Omit<Spec, 'planned'>
  readonly conditions: NonNullable<Status['conditions']>
  readonly appliedContent: string | undefined
  /** Stands for the whole status. */
  readonly statusHash: string
}

/**
 * Label on every Release: the cluster name under which it was installed. An agent looks at those of its own name only, so that a cluster
 * that gets a wrong identity by mistake does not prune what it has.
 */
export const clusterLabel = 'muster.dev/cluster'

/**
 * Whether a release's object bears the generation of the newest channel: the first one's does. Should the agent's state be lost, an older
 * channel is still refused, and a new generation costs one write, not one per release.
 */
export function bearsGeneration({ releases }: Pick<ChannelContent, 'releases'>, name: string): boolean {
  return releases.every((release) => name <= release.name)
}

/** What is kept of a Release as the API server returns it. */
export function liveOf(object: KubeObject): LiveRelease {
  const { metadata, spec, status } = object as unknown as Release & { metadata: KubeObject['metadata'] }
  const { planned: _planned, ...kept } = spec
  return {
    name: metadata.name,
    uid: metadata.uid ?? '',
    generation: metadata.generation ?? 0,
    createdAt: metadata.creationTimestamp,
    cluster: metadata.labels?.[clusterLabel],
    spec: kept,
    conditions: status?.conditions ?? [],
    appliedContent: status?.appliedContent,
    statusHash: hashOf(status ?? {}),
  }
}

/**
 * Reads and writes the Release object of each release: what people see, and what a restart begins with. A watch keeps what is there in
 * memory, so that nothing is read, and nothing is written that is there already.
 */
export class ReleaseObjects {
  readonly #client: KubeClient
  readonly #cluster: string
  readonly #now: () => Date
  readonly #live = new Map<string, LiveRelease>()

  constructor(client: KubeClient, cluster: string, now: () => Date) {
    this.#client = client
    this.#cluster = cluster
    this.#now = now
  }

  /** The highest generation of a channel that one of them bears. */
  get generation(): number {
    return Math.max(0, ...[...this.#live.values()].map(({ spec }) => spec.channelGeneration))
  }

  /** The Release as last seen. */
  get(name: string): LiveRelease | undefined {
    return this.#live.get(name)
  }

  /** Takes in what was read. An answer to our own write may be newer than what a watch tells. */
  take(live: LiveRelease): void {
    const known = this.#live.get(live.name)
    if (known === undefined || known.uid !== live.uid || live.generation >= known.generation) this.#live.set(live.name, live)
  }

  /** Takes in what a watch saw; tells whether somebody else changed what is asked of the release. */
  saw({ type, object }: Pick<InformerEvent<LiveRelease>, 'type' | 'object'>): boolean {
    const known = this.#live.get(object.name)
    if (type === 'deleted') {
      if (known?.uid !== object.uid) return false
      this.#live.delete(object.name)
      return true
    }
    this.take(object)
    return known === undefined || known.uid !== object.uid || object.generation > known.generation
  }

  /**
   * Brings the spec up to date, in one apply where it is not: which bundle, which content, and what there may be from now on.
   * @param generation of the channel
   * @param options.newest whether this Release bears the newest generation, also where nothing else of it changes
   * @param options.grown whether the inventory names objects that neither status nor spec name yet
   */
  async ensure(
    { name, bundle, namespace, settings }: ChannelRelease,
    runtime: ReleaseRuntime,
    generation: number,
    options: { readonly newest: boolean; readonly grown?: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const live = this.#live.get(name)
    const { repository, version, digest } = bundle
    const wanted: Spec = {
      bundle: { repository, version, digest },
      ...(namespace === undefined ? {} : { namespace }),
      channelGeneration: generation,
      ...(runtime.announced === undefined ? {} : { content: runtime.announced }),
      ...(settings?.prune === undefined ? {} : { prune: settings.prune }),
    }
    const current = live !== undefined && live.cluster === this.#cluster && sameSpec(live.spec, wanted)
    if (current && !options.grown && !(options.newest && live.spec.channelGeneration !== generation)) return
    // To come back to what the status says was applied whole, while something else may be applied in part: the status goes first.
    const back = live?.appliedContent !== undefined && live.appliedContent === wanted.content && live.spec.content !== wanted.content
    if (back) await this.write(name, runtime, undefined, options.signal)
    const labels = { [clusterLabel]: this.#cluster }
    const object = { apiVersion, kind: 'Release', metadata: { name, labels }, spec: { ...wanted, planned: plannedOf(runtime.inventory) } }
    const written = await this.#client.apply(object as TypedObject, { fieldManager, force: true, signal: options.signal })
    this.take(liveOf(written))
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    await this.#client.delete({ apiVersion, kind: 'Release', name }, { propagation: 'Background', signal })
    this.#live.delete(name)
  }

  /** Writes the status in one apply, where it is not so already. */
  async write(name: string, runtime: ReleaseRuntime, outcome: Outcome | undefined, signal: AbortSignal): Promise<void> {
    const live = this.#live.get(name)
    if (live === undefined) return
    const status = statusOf(live, runtime, outcome, this.#now())
    const { inventory } = runtime
    if (hashOf(status) === live.statusHash) {
      runtime.written = inventory
      return
    }
    const object = { apiVersion, kind: 'Release', metadata: { name }, status } as TypedObject
    const written = await this.#client.apply(object, { fieldManager, force: true, subresource: 'status', signal })
    this.take(liveOf(written))
    runtime.written = inventory
  }
}

/** The status that a runtime and an outcome amount to. Pure. */
export function statusOf(
  live: Pick<LiveRelease, 'generation' | 'conditions'>,
  runtime: ReleaseRuntime,
  outcome: Outcome | undefined,
  now: Date,
): Status {
  const running = runtime.applied ?? runtime.remembered
  const { generation } = live
  // The two packages write the same type, one of them with zod's explicit undefined.
  const before = live.conditions as readonly Condition[]
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
            observedGeneration: generation,
          },
          now,
        )
  // While something else is being applied, or was in part, no content is applied whole.
  const content = runtime.applied === undefined ? running?.content : runtime.complete ? running?.content : undefined
  return {
    conditions: [...conditions],
    observedGeneration: generation,
    ...(running === undefined ? {} : { appliedDigest: running.digest, appliedVersion: running.version, signedBy: [...running.signedBy] }),
    ...(content === undefined || content !== runtime.announced ? {} : { appliedContent: content }),
    ...(runtime.customizations.length === 0 ? {} : { customizations: [...runtime.customizations] }),
    ...(runtime.needsConsent === undefined ? {} : { needsConsent: runtime.needsConsent }),
    ...(runtime.history.length === 0 ? {} : { history: [...runtime.history] }),
    ...(runtime.reconciledAt === undefined ? {} : { reconciledAt: runtime.reconciledAt }),
    inventory: runtime.inventory.map(plainEntry),
    drift: runtime.shownDrift,
    ...runtime.proof,
    ...(runtime.waitingFor === undefined ? {} : { waitingFor: runtime.waitingFor }),
    ...(runtime.breakGlass === undefined ? {} : { breakGlass: runtime.breakGlass }),
    ...(runtime.hooks === undefined ? {} : { hooks: runtime.hooks }),
  }
}

function plainEntry({ apiVersion: version, kind, namespace, name, uid, ownership, wave, madeBy }: InventoryEntry): InventoryEntry {
  return {
    apiVersion: version,
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name,
    ...(uid === undefined ? {} : { uid }),
    ...(ownership === undefined ? {} : { ownership }),
    ...(wave === undefined ? {} : { wave }),
    ...(madeBy === undefined ? {} : { madeBy }),
  }
}

function sameSpec(a: LiveRelease['spec'], b: LiveRelease['spec']): boolean {
  return (
    a.namespace === b.namespace &&
    a.content === b.content &&
    isDeepStrictEqual(a.prune, b.prune) &&
    a.bundle.repository === b.bundle.repository &&
    a.bundle.version === b.bundle.version &&
    a.bundle.digest === b.bundle.digest
  )
}

/** Of JSON, whatever the order of its keys: the API server has its own. */
function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value, sortedKeys)).digest('base64')
}

function sortedKeys(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
