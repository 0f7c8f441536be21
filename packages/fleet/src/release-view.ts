import { type Cluster, clusterReasons, type Placement, type Release, type ReleaseReport, selects } from '@muster/api'
import { fleetStatus } from './status.ts'

/** All that is known of one release in one cluster: by the hub's wish, by the agent's report to the hub, and by the cluster itself. */
export interface ReleaseView {
  readonly name: string
  readonly cluster: string
  /** What the hub wants there; absent where it wants nothing of this name, or was not asked. */
  readonly placement?: Placement
  /** What the agent last reported, and how old that is, in seconds. */
  readonly report?: ReleaseReport
  readonly reportAgeSeconds?: number
  /** The cluster has not reported for too long: what its report says may be past. */
  readonly silent: boolean
  /** What the cluster itself says; absent where it was not asked, or has none. */
  readonly release?: Release
}

export interface ReleaseSources {
  /** Of the hub. Empty where only a cluster is asked. */
  readonly clusters: readonly Cluster[]
  readonly placements: readonly Placement[]
  /** What clusters that answered have, by their names. */
  readonly releases: ReadonlyMap<string, readonly Release[]>
  readonly now: Date
}

/** Every release of every cluster: what is wanted, what was reported, what is there. By cluster, then by name. Pure. */
export function releaseViews({ clusters, placements, releases, now }: ReleaseSources): ReleaseView[] {
  const views = new Map<string, ReleaseView>()
  const add = (cluster: string, name: string, what: Partial<ReleaseView>): void => {
    const key = `${cluster}/${name}`
    views.set(key, { name, cluster, silent: false, ...views.get(key), ...what })
  }
  const shown = new Map(fleetStatus(clusters, now).clusters.map((one) => [one.name, one]))
  for (const cluster of clusters) {
    const { name } = cluster.metadata
    const { reason, reportAgeSeconds: age } = shown.get(name) ?? {}
    const about = { silent: reason === clusterReasons.silent, ...(age === undefined ? {} : { reportAgeSeconds: age }) }
    for (const report of cluster.status?.report?.releases ?? []) add(name, report.name, { report, ...about })
    for (const placement of placements) if (selects(placement, cluster)) add(name, placement.metadata.name, { placement, ...about })
  }
  for (const [cluster, found] of releases) for (const release of found) add(cluster, release.metadata.name, { release })
  return [...views.values()].sort((a, b) => compare(a.cluster, b.cluster) || compare(a.name, b.name))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** How a release stands: by the cluster's own word where it is there, else by the last report. */
export interface Standing {
  readonly ready: boolean
  readonly reason: string
  readonly message: string
  /** Since when it is ready, or is not. ISO 8601; absent where that is not known. */
  readonly since?: string
}

/** Undefined while nobody has said anything of it. */
export function standingOf({ release, report, silent }: ReleaseView): Standing | undefined {
  const condition = release?.status?.conditions?.find((one) => one.type === 'Ready')
  if (condition !== undefined) {
    const { status, reason, message, lastTransitionTime } = condition
    return { ready: status === 'True', reason, message, since: lastTransitionTime }
  }
  return (
    report && {
      ready: report.ready && !silent,
      reason: report.reason,
      message: report.message,
      ...(report.since === undefined || (report.ready && silent) ? {} : { since: report.since }),
    }
  )
}

/** What runs: the version that was last applied whole. */
export interface Running {
  readonly version: string
  readonly digest: string
  readonly signedBy: readonly string[]
}

/** Undefined where nothing runs, as far as is known. */
export function runningOf({ release, report }: ReleaseView): Running | undefined {
  const { appliedDigest: digest, appliedVersion: version, signedBy = [] } = release?.status ?? {}
  if (release !== undefined) return digest === undefined || version === undefined ? undefined : { digest, version, signedBy }
  // A report of what does not run yet names what is wanted, and nobody who signed it.
  return report === undefined || report.signedBy.length === 0 ? undefined : report
}
