import { type HistoryCause, maxHistory, type ReleaseHistoryEntry, releaseReasons } from '@muster/api'

/** A version that is applied whole, and how it stands. */
export interface AppliedVersion {
  readonly digest: string
  readonly version: string
  readonly repository: string
  readonly generation: number
  readonly by: HistoryCause
  /** A reason of `Release`. */
  readonly outcome: string
}

/** The history with what is applied now, the newest first; the same array where it says so already. Pure. */
export function recordHistory(history: readonly ReleaseHistoryEntry[], seen: AppliedVersion, now: Date): readonly ReleaseHistoryEntry[] {
  const [newest, ...older] = history
  if (newest?.digest === seen.digest) {
    const settled = newest.outcome === releaseReasons.healthy || newest.outcome === seen.outcome
    return settled ? history : [{ ...newest, outcome: seen.outcome }, ...older]
  }
  const at = now.toISOString()
  const before = newest === undefined ? [] : [{ ...newest, to: at }, ...older]
  return [{ ...seen, from: at }, ...before].slice(0, maxHistory)
}
