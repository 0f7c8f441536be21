import type { Cluster } from './cluster.ts'
import type { Placement } from './placement.ts'

/** What of a cluster placements look at. */
export type Selectable = Pick<Cluster, 'metadata' | 'spec'>

/**
 * Whether a placement goes to a cluster: it is named, or all are meant, or it has all labels of `matchLabels`. A placement that is
 * being deleted goes nowhere, and nothing goes to a cluster that is to leave; an empty set of labels matches nothing, since "all" has a word of its own.
 */
export function selects(placement: Pick<Placement, 'metadata' | 'spec'>, cluster: Selectable): boolean {
  if (placement.metadata.deletionTimestamp !== undefined) return false
  if (cluster.spec.leaving === true) return false
  const { names, matchLabels, all } = placement.spec.clusters
  if (all === true || names?.includes(cluster.metadata.name)) return true
  const wanted = Object.entries(matchLabels ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => cluster.metadata.labels?.[key] === value)
}
