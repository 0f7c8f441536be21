import {
  type Cluster,
  clusterReasons,
  cycleOf,
  maxRolledBack,
  type Placement,
  placementReasons,
  releaseReasons,
  selects,
} from '@muster/api'
import type { Finding } from './cluster-ready.ts'

export interface PlacementState {
  readonly selected: number
  readonly ready: number
  /** Clusters that took what is placed, and went back from it since it did not become healthy: the first of them. */
  readonly rolledBack: readonly string[]
  readonly condition: Finding
}

/** How many clusters are named in a message. */
const maxNamed = 5

/** What of the fleet is looked at. */
export interface PlacementView {
  readonly clusters: readonly Cluster[]
  /** All there are: a placement that waits for itself by way of others is refused. */
  readonly placements: readonly Placement[]
  /** Since which generation of a cluster's channel that says what the placement says now; nothing where it does not yet. */
  readonly carriedSince: (placement: Placement, cluster: Cluster) => number | undefined
}

/**
 * How far a placement has come, from what its clusters report. What a cluster reports counts once it holds a channel with what is placed now:
 * the same digest may be ready with other settings. A silent cluster does not count as ready. Pure.
 */
export function placementState(placement: Placement, { clusters, placements, carriedSince }: PlacementView): PlacementState {
  const selected = clusters.filter((cluster) => selects(placement, cluster)).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  const waiting = selected.flatMap((cluster) => {
    const why = notReady(placement, cluster, carriedSince(placement, cluster))
    return why === undefined ? [] : [`${cluster.metadata.name} (${why})`]
  })
  const ready = selected.length - waiting.length
  const held = selected.filter((cluster) => isHeld(placement, cluster, carriedSince(placement, cluster)))
  const cycle = cycleOf(placement, selected, {
    placement: (name) => placements.find(({ metadata }) => metadata.name === name),
    cluster: (name) => clusters.find(({ metadata }) => metadata.name === name),
  })
  return {
    selected: selected.length,
    ready,
    rolledBack: selected
      .filter((cluster) => hasGoneBack(placement, cluster, carriedSince(placement, cluster)))
      .slice(0, maxRolledBack)
      .map(({ metadata }) => metadata.name),
    condition: cycle === undefined ? condition(selected.length, waiting, held.length) : circular(cycle),
  }
}

function circular(cycle: string): Finding {
  return {
    status: 'False',
    reason: placementReasons.dependencyCycle,
    message: `Each of these waits for the next: ${cycle}. Take one of these dependencies out of its placement; what runs is kept until then.`,
  }
}

function condition(selected: number, waiting: readonly string[], held: number): Finding {
  if (selected === 0)
    return {
      status: 'False',
      reason: placementReasons.noClusters,
      message: 'No cluster is selected. Name clusters, or give labels that one has.',
    }
  if (waiting.length === 0)
    return { status: 'True', reason: placementReasons.ready, message: `Ready in ${selected} of ${selected} clusters.` }
  const more = waiting.length > maxNamed ? ` and ${waiting.length - maxNamed} more` : ''
  return {
    status: 'False',
    reason: waiting.length === held ? placementReasons.held : placementReasons.progressing,
    message: `Ready in ${selected - waiting.length} of ${selected} clusters; waiting for ${waiting.slice(0, maxNamed).join(', ')}${more}.`,
  }
}

function notReady(placement: Placement, cluster: Cluster, since: number | undefined): string | undefined {
  const { report } = cluster.status ?? {}
  if (!report) return 'not joined'
  if (isSilent(cluster)) return 'silent'
  const release = report.releases.find(({ name }) => name === placement.metadata.name)
  if (release?.held !== undefined && release.held.digest !== placement.spec.bundle.digest)
    return `held at ${release.held.version} by its site`
  if (!release || release.digest !== placement.spec.bundle.digest) return release && !release.ready ? release.reason : 'not installed yet'
  if (!release.ready) return release.reason
  return since === undefined || report.generation < since ? 'has not taken this up yet' : undefined
}

function isSilent({ status }: Cluster): boolean {
  return status?.conditions?.some(({ type, reason }) => type === 'Ready' && reason === clusterReasons.silent) === true
}

/** Whether a cluster knows what is placed, and its site holds the release at something else: it does not become ready by waiting. */
function isHeld(placement: Placement, cluster: Cluster, since: number | undefined): boolean {
  const { report } = cluster.status ?? {}
  if (!report || isSilent(cluster) || since === undefined || report.generation < since) return false
  const { digest } = placement.spec.bundle
  const release = report.releases.find(({ name }) => name === placement.metadata.name)
  return release?.held !== undefined && release.held.digest !== digest && release.digest !== digest
}

/** Reasons of a release that went back, or is on its way. */
const back: ReadonlySet<string> = new Set([releaseReasons.rolledBack, releaseReasons.progressDeadlineExceeded])

function hasGoneBack(placement: Placement, { status }: Cluster, since: number | undefined): boolean {
  if (since === undefined || (status?.report?.generation ?? 0) < since) return false
  const release = status?.report?.releases.find(({ name }) => name === placement.metadata.name)
  return release?.rollback?.digest === placement.spec.bundle.digest && back.has(release.reason)
}
