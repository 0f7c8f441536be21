import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type Cluster, type Placement } from '@muster/api'
import { isKubeError, type KubeClient } from '@muster/kube'
import { placementHistory } from './placement-history.ts'
import { placementState } from './placement-ready.ts'
import { withReady } from './ready-condition.ts'

export interface PlacementControllerOptions {
  readonly client: Pick<KubeClient, 'apply'>
  readonly placement: (name: string) => Placement | undefined
  readonly placements: () => readonly Placement[]
  readonly clusters: () => readonly Cluster[]
  readonly now: () => Date
}

/** Keeps the status of a placement: how many clusters it selects, and how many of these are ready. */
export class PlacementController {
  readonly #options: PlacementControllerOptions

  constructor(options: PlacementControllerOptions) {
    this.#options = options
  }

  async reconcile(name: string, signal: AbortSignal): Promise<void> {
    const { client, clusters, placements, now } = this.#options
    const placement = this.#options.placement(name)
    if (!placement || placement.metadata.deletionTimestamp !== undefined) return
    const { selected, ready, condition } = placementState(placement, clusters(), placements())
    const observedGeneration = placement.metadata.generation
    const conditions = withReady(placement.status?.conditions, condition, observedGeneration, now())
    const history = placementHistory(placement, now())
    const status = { conditions, selected, ready, history, ...(observedGeneration === undefined ? {} : { observedGeneration }) }
    if (isDeepStrictEqual(status, { ...placement.status })) return
    const object = { apiVersion, kind: 'Placement', metadata: { name }, status }
    try {
      await client.apply(object, { subresource: 'status', fieldManager: 'muster-hub', force: true, signal })
    } catch (error) {
      // Deleted meanwhile: nothing has a status any more.
      if (!isKubeError(error, 'NotFound')) throw error
    }
  }
}

/** The placements that depend on others: what changes in one may close or open a circle. */
export function dependentsOf(placements: readonly Placement[]): string[] {
  return placements.filter(({ spec }) => (spec.dependsOn ?? []).length > 0).map(({ metadata }) => metadata.name)
}

/**
 * Tells whether a change of a cluster concerns placements: its labels, its releases or its silence. Heartbeats do not, and there
 * are many. Remembers what it saw of each cluster.
 */
export function placementsConcern(): (change: { readonly type: string; readonly key: string; readonly object: Cluster }) => boolean {
  const seen = new Map<string, unknown>()
  return ({ type, key, object }) => {
    if (type === 'deleted') return seen.delete(key)
    const { labels } = object.metadata
    const { leaving } = object.spec
    const { report, conditions } = object.status ?? {}
    const now = { labels, leaving, releases: report?.releases, reason: conditions?.find((one) => one.type === 'Ready')?.reason }
    if (isDeepStrictEqual(seen.get(key), now)) return false
    seen.set(key, now)
    return true
  }
}
