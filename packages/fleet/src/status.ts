import { type Cluster, type CustomizationReport, clusterReasons, type DriftMode, type NodeReport, type ReleaseReport } from '@muster/api'
import { driftRemarks } from './release-drift.ts'

/** A cluster is shown as silent when its last report is older than this, in seconds. */
const silentAfter = 30

/** One release in one cluster, as `muster status` shows it. */
export interface ReleaseStatus {
  readonly name: string
  readonly version: string
  readonly digest: string
  readonly signedBy: string
  readonly ready: boolean
  readonly reason: string
  readonly message: string
  /** `none`, `corrected 3×`, `present` while a difference is not yet corrected, `fought over` while another writes it again and again. */
  readonly drift: string
  /** What is done about it there, where the cluster says. */
  readonly driftMode?: DriftMode
  /** What of it deserves a sentence: what is left to others, and that it is only told. */
  readonly driftRemarks: readonly string[]
  /** What is in force over the bundle there. */
  readonly customizations: readonly CustomizationReport[]
  /** Where nothing is done with it, by whose word. */
  readonly suspended?: NonNullable<ReleaseReport['suspended']>
  /** Where its site holds it at a version, whatever the hub wants. */
  readonly held?: NonNullable<ReleaseReport['held']>
  /** What the site or the hub has said of it, in a sentence. */
  readonly said?: string
}

export interface ClusterStatus {
  readonly name: string
  readonly ready: boolean
  readonly reason: string
  readonly message: string
  /** Generation of the channel that the cluster holds, and the one that the hub published. */
  readonly generation: number
  readonly published: number
  /** Age of the report that all this is from, in seconds; absent when there is none. */
  readonly reportAgeSeconds?: number
  readonly channelUnreadable?: { readonly since: string; readonly reason: string; readonly message: string }
  readonly nodes: readonly NodeReport[]
  readonly releases: readonly ReleaseStatus[]
}

export interface FleetStatus {
  readonly clusters: readonly ClusterStatus[]
}

/**
 * The fleet as the hub knows it. What is old is said to be old: a silent cluster is neither ready nor failed, and its
 * releases are shown as they were last reported.
 */
export function fleetStatus(clusters: readonly Cluster[], now: Date): FleetStatus {
  return { clusters: clusters.map((cluster) => clusterStatus(cluster, now)).sort((a, b) => byHubFirst(a.name, b.name)) }
}

function clusterStatus(cluster: Cluster, now: Date): ClusterStatus {
  const { report, reportedAt, channel, conditions } = cluster.status ?? {}
  const condition = conditions?.find((one) => one.type === 'Ready')
  const age = reportedAt === undefined ? undefined : Math.max(0, Math.round((now.getTime() - Date.parse(reportedAt)) / 1000))
  // The hub says so by its own clock; its word may be missing or late when it is the hub that was away.
  const silent = condition?.reason === clusterReasons.silent || (age !== undefined && age > silentAfter)
  return {
    name: cluster.metadata.name,
    ready: condition?.status === 'True' && !silent,
    reason: silent ? clusterReasons.silent : (condition?.reason ?? 'WaitingToJoin'),
    message: silent
      ? `No report for ${age} s: what is shown is from ${reportedAt}.`
      : (condition?.message ?? 'No agent has joined under this name yet.'),
    generation: report?.generation ?? 0,
    published: channel?.generation ?? 0,
    ...(age === undefined ? {} : { reportAgeSeconds: age }),
    ...(report?.channelUnreadable === undefined ? {} : { channelUnreadable: report.channelUnreadable }),
    nodes: report?.nodes ?? [],
    releases: (report?.releases ?? []).map((release) => ({
      name: release.name,
      version: release.version,
      digest: release.digest,
      signedBy: release.signedBy.join(', '),
      ready: release.ready && !silent,
      reason: release.reason,
      message: release.message,
      customizations: release.customizations ?? [],
      ...(release.suspended === undefined ? {} : { suspended: release.suspended }),
      ...(release.held === undefined ? {} : { held: release.held }),
      ...saidOf(release),
      drift: driftOf(release),
      ...(release.drift === undefined ? {} : { driftMode: release.drift.mode }),
      driftRemarks: driftRemarks(release),
    })),
  }
}

function saidOf({ suspended, held, breakGlass }: ReleaseReport): { said?: string } {
  const parts = [
    ...(suspended === undefined ? [] : [`suspended by the ${suspended.by}${sinceText(suspended)} (${suspended.reason})`]),
    ...(breakGlass === undefined ? [] : [`open to others until ${breakGlass.until} by ${breakGlass.by} (${breakGlass.reason})`]),
    ...(held === undefined ? [] : [`held at ${held.version} by the site${sinceText(held)}${wantedText(held)} (${held.reason})`]),
  ]
  return parts.length === 0 ? {} : { said: parts.join(', ') }
}

function sinceText({ since }: { readonly since?: string | undefined }): string {
  return since === undefined ? '' : ` since ${since}`
}

function wantedText({ wanted }: NonNullable<ReleaseReport['held']>): string {
  return wanted === undefined ? '' : `, in place of ${wanted}`
}

function driftOf({ fights, drifted, driftCorrected }: ReleaseReport): string {
  if (fights !== undefined && fights.length > 0) return 'fought over'
  if (drifted) return 'present'
  return driftCorrected > 0 ? `corrected ${driftCorrected}×` : 'none'
}

function byHubFirst(a: string, b: string): number {
  if (a === b) return 0
  if (a === 'hub') return -1
  if (b === 'hub') return 1
  return a < b ? -1 : 1
}
