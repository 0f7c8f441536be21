import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type Cluster, type Placement, selects } from '@muster/api'
import { isKubeError, type KubeClient, type ReconcileResult } from '@muster/kube'
import { placementHistory } from './placement-history.ts'
import { type PlacementView, placementState } from './placement-ready.ts'
import { withReady } from './ready-condition.ts'

export interface PlacementControllerOptions {
  readonly client: Pick<KubeClient, 'apply'>
  readonly placement: (name: string) => Placement | undefined
  readonly placements: () => readonly Placement[]
  readonly clusters: () => readonly Cluster[]
  /** Whether it is known what the cluster's channel says. */
  readonly channelKnown: (cluster: Cluster) => boolean
  readonly carriedSince: PlacementView['carriedSince']
  readonly now: () => Date
}

const lookAgainMs = 1_000

/** Keeps the status of a placement: how many clusters it selects, and how many of these are ready. */
export class PlacementController {
  readonly #options: PlacementControllerOptions

  constructor(options: PlacementControllerOptions) {
    this.#options = options
  }

  async reconcile(name: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const { client, clusters, placements, channelKnown, carriedSince, now } = this.#options
    const placement = this.#options.placement(name)
    if (!placement || placement.metadata.deletionTimestamp !== undefined) return undefined
    // After a start of the hub: until it is known what the channels say, what was said of the placement before stays.
    if (clusters().some((cluster) => selects(placement, cluster) && cluster.status?.report && !channelKnown(cluster)))
      return { requeueAfterMs: lookAgainMs }
    const view = { clusters: clusters(), placements: placements(), carriedSince }
    const { selected, ready, rolledBack, condition } = placementState(placement, view)
    const observedGeneration = placement.metadata.generation
    const conditions = withReady(placement.status?.conditions, condition, observedGeneration, now())
    const history = placementHistory(placement, now())
    const status = {
      conditions,
      selected,
      ready,
      ...(rolledBack.length === 0 ? {} : { rolledBack: [...rolledBack] }),
      history,
      ...(observedGeneration === undefined ? {} : { observedGeneration }),
    }
    if (isDeepStrictEqual(status, { ...placement.status })) return undefined
    const object = { apiVersion, kind: 'Placement', metadata: { name }, status }
    try {
      await client.apply(object, { subresource: 'status', fieldManager: 'muster-hub', force: true, signal })
    } catch (error) {
      // Deleted meanwhile: nothing has a status any more.
      if (!isKubeError(error, 'NotFound')) throw error
    }
    return undefined
  }
}

/** The placements that depend on others: what changes in one may close or open a circle. */
export function dependentsOf(placements: readonly Placement[]): string[] {
  return placements.filter(({ spec }) => (spec.dependsOn ?? []).length > 0).map(({ metadata }) => metadata.name)
}

/**
 * Tells whether a change of a cluster concerns placements: its labels, its channel, its releases or its silence. Heartbeats do not, and there
 * are many. Remembers what it saw of each cluster.
 */
export function placementsConcern(): (change: { readonly type: string; readonly key: string; readonly object: Cluster }) => boolean {
  const seen = new Map<string, unknown>()
  return ({ type, key, object }) => {
    if (type === 'deleted') return seen.delete(key)
    const { labels } = object.metadata
    const { leaving } = object.spec
    const { report, channel, conditions } = object.status ?? {}
    const generations = [channel?.generation, report?.generation]
    const now = {
      labels,
      leaving,
      generations,
      releases: report?.releases,
      reason: conditions?.find((one) => one.type === 'Ready')?.reason,
    }
    if (isDeepStrictEqual(seen.get(key), now)) return false
    seen.set(key, now)
    return true
  }
}
