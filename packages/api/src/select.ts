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
  return placement.spec.clusters.all === true || means(placement.spec.clusters, cluster)
}

/** Whether a cluster is meant: it is named, or has all of the labels, of which there is at least one. */
export function means(
  {
    names,
    matchLabels,
  }: { readonly names?: readonly string[] | undefined; readonly matchLabels?: Readonly<Record<string, string>> | undefined },
  cluster: Pick<Cluster, 'metadata'>,
): boolean {
  if (names?.includes(cluster.metadata.name)) return true
  const wanted = Object.entries(matchLabels ?? {})
  return wanted.length > 0 && wanted.every(([key, value]) => cluster.metadata.labels?.[key] === value)
}
