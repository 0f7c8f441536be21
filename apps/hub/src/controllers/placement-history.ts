import { maxHistory, type Placement, type PlacementHistoryEntry } from '@muster/api'

/** The bundles that a placement named, with the one that it names now, the newest first. Pure. */
export function placementHistory(placement: Placement, now: Date): PlacementHistoryEntry[] {
  const { digest, version, repository } = placement.spec.bundle
  const known = placement.status?.history ?? []
  const [newest, ...older] = known
  if (newest?.digest === digest) return known
  const at = now.toISOString()
  return [{ digest, version, repository, from: at }, ...(newest === undefined ? [] : [{ ...newest, to: at }, ...older])].slice(
    0,
    maxHistory,
  )
}
