import {
  type Cluster,
  cycleFrom,
  type DependencyFleet,
  type DependencyState,
  dependenciesOf,
  type Placement,
  type ReleaseAt,
  selects,
} from '@muster/api'

/** What of the fleet is looked at: live copies. */
export interface DependencyView {
  readonly placements: readonly Placement[]
  readonly cluster: (name: string) => Cluster | undefined
  /** Since which generation of a cluster's channel that says what the placement says now; nothing where it does not yet. */
  readonly carriedSince: (placement: Placement, cluster: Cluster) => number | undefined
  readonly now: Date
  /** A cluster that has not reported for so long, in milliseconds, may be anything. */
  readonly silentAfterMs: number
}

/** An answer to a report is small. */
const maxStates = 500
const maxMessage = 400

/** How the releases of other clusters stand on which a cluster's own depend. Pure. */
export function dependencyStates(cluster: string, view: DependencyView): DependencyState[] {
  const across = view.placements.filter(({ spec }) => spec.dependsOn?.some((one) => one.cluster !== undefined && one.cluster !== cluster))
  // Most fleets have none, and reports come often.
  if (across.length === 0) return []
  const byName = new Map(view.placements.map((placement) => [placement.metadata.name, placement]))
  const fleet: DependencyFleet = { placement: (name) => byName.get(name), cluster: view.cluster }
  const asked = new Map<string, ReleaseAt>()
  const cycles = new Map<string, string>()
  for (const placement of across) {
    const own = { cluster, release: placement.metadata.name }
    const cycle = cycleFrom(own, fleet)
    for (const one of dependenciesOf(own, fleet)) {
      if (one.cluster === cluster) continue
      const key = `${one.cluster}/${one.release}`
      asked.set(key, one)
      if (cycle !== undefined) cycles.set(key, cycle)
    }
  }
  return [...asked.entries()].slice(0, maxStates).map(([key, one]) => stateOf(one, byName.get(one.release), cycles.get(key), view))
}

function stateOf(at: ReleaseAt, placement: Placement | undefined, cycle: string | undefined, view: DependencyView): DependencyState {
  const { cluster, release } = at
  const where = view.cluster(cluster)
  const { report, reportedAt } = where?.status ?? {}
  const ageSeconds = reportedAt === undefined ? undefined : Math.max(0, Math.round((view.now.getTime() - Date.parse(reportedAt)) / 1000))
  const seen = reportedAt === undefined || ageSeconds === undefined ? {} : { observedAt: reportedAt, ageSeconds }
  const not = (reason: DependencyState['reason'], message: string): DependencyState => ({
    ...at,
    ready: false,
    reason,
    message: message.slice(0, maxMessage),
    ...seen,
  })
  if (cycle !== undefined) return not('DependencyCycle', `Each waits for the next: ${cycle}.`)
  if (where === undefined) return not('UnknownCluster', `The fleet has no cluster ${cluster}.`)
  if (placement === undefined || !selects(placement, where)) return not('NotPlaced', `Nothing places ${release} on ${cluster}.`)
  if (report === undefined || ageSeconds === undefined) return not('Unknown', `${cluster} has not reported yet.`)
  if (ageSeconds * 1000 >= view.silentAfterMs) return not('Unknown', `${cluster} has not reported since ${reportedAt}.`)
  const reported = report.releases.find(({ name }) => name === release)
  const { bundle } = placement.spec
  if (reported === undefined) return not('NotReady', `${cluster} has not taken it yet.`)
  if (reported.digest !== bundle.digest && reported.held !== undefined)
    return not('NotReady', `${cluster} holds it at ${reported.held.version}, and ${bundle.version} is wanted.`)
  if (reported.digest !== bundle.digest)
    return not('NotReady', `${cluster} has version ${reported.version}, and ${bundle.version} is wanted.`)
  if (!reported.ready) return not('NotReady', `${reported.reason}: ${reported.message}`)
  // What is ready may be so with the settings of before.
  const since = view.carriedSince(placement, where)
  if (since === undefined || report.generation < since) return not('NotReady', `${cluster} has not taken up the settings that it has now.`)
  return { ...at, ready: true, reason: 'Ready', message: `Version ${bundle.version} is ready.`, digest: reported.digest, ...seen }
}
