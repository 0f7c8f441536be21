import { type Cluster, type ClusterReport, clusterReasons } from '@muster/api'
import type { ChannelContent } from '@muster/trust'

/** A condition before it is merged into those that are there. */
export interface Finding {
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
}

export interface ClusterReadyOptions {
  readonly status: Cluster['status'] | undefined
  /** The channel that is in the registry, when that is known. */
  readonly content: ChannelContent | undefined
  /** Why the channel could not be compiled or published. */
  readonly failure: string | undefined
  readonly now: Date
  readonly silentAfterMs: number
}

/** How many things are named in a message before it says "and n more". */
const maxNamed = 5

/**
 * Whether a cluster is ready, from what it reports. What is not known is said to be unknown: a silent cluster is neither ready
 * nor failed. That its site holds a release at another version is the site's decision: it is told, and is no fault. Pure.
 */
export function clusterReady({ status, content, failure, now, silentAfterMs }: ClusterReadyOptions): Finding {
  const { report, reportedAt } = status ?? {}
  if (!report || reportedAt === undefined)
    return { status: 'False', reason: clusterReasons.waitingToJoin, message: 'No agent has reported under this name yet.' }
  if (now.getTime() - Date.parse(reportedAt) >= silentAfterMs)
    return {
      status: 'Unknown',
      reason: clusterReasons.silent,
      message: `The last report came at ${reportedAt}. What runs there keeps running; its state is not known.`,
    }
  if (failure !== undefined) return { status: 'False', reason: clusterReasons.channelFailed, message: failure }
  const stale = report.channelUnreadable?.reason === 'ChannelExpired' ? report.channelUnreadable : undefined
  if (stale !== undefined)
    return {
      status: 'False',
      reason: clusterReasons.stale,
      message: `${stale.message} What runs keeps running, and drift is corrected.`,
    }
  const problems = [...nodeProblems(report), ...channelProblems(report, content), ...releaseProblems(report, content)]
  if (problems.length > 0) return { status: 'False', reason: clusterReasons.notReady, message: named(problems) }
  return {
    status: 'True',
    reason: clusterReasons.ready,
    message: named([
      `${report.nodes.length} nodes and ${report.releases.length} releases are ready at generation ${report.generation}`,
      ...holds(report),
    ]),
  }
}

/** Milliseconds until a cluster that says nothing more counts as silent. */
export function silentIn(status: Cluster['status'] | undefined, now: Date, silentAfterMs: number): number | undefined {
  if (status?.reportedAt === undefined) return undefined
  const left = Date.parse(status.reportedAt) + silentAfterMs - now.getTime()
  return left > 0 ? left : undefined
}

function nodeProblems({ nodes }: ClusterReport): string[] {
  if (nodes.length === 0) return ['it has no node']
  return nodes.filter((node) => !node.ready).map((node) => `node ${node.name} is not ready`)
}

function channelProblems({ generation, channelUnreadable }: ClusterReport, content: ChannelContent | undefined): string[] {
  if (content === undefined || generation >= content.generation) return []
  const why = channelUnreadable ? ` (${channelUnreadable.reason} since ${channelUnreadable.since})` : ''
  return [`it holds generation ${generation} and not yet ${content.generation}${why}`]
}

function releaseProblems({ releases }: ClusterReport, content: ChannelContent | undefined): string[] {
  const reported = new Map(releases.map((release) => [release.name, release]))
  const missing = (content?.releases ?? []).filter(({ name, bundle }) => {
    const release = reported.get(name)
    return release?.digest !== bundle.digest && (release?.held === undefined || release.held.digest !== release.digest)
  })
  return [
    ...releases.filter((release) => !release.ready).map(({ name, reason }) => `release ${name}: ${reason}`),
    ...missing
      .filter(({ name }) => reported.get(name)?.ready !== false)
      .map(({ name, bundle }) => `release ${name} ${bundle.version} is not installed yet`),
  ]
}

function holds({ releases }: ClusterReport): string[] {
  return releases.flatMap(({ name, held }) =>
    held?.wanted === undefined ? [] : [`release ${name} is held at ${held.version} by the site, and ${held.wanted} is wanted`],
  )
}

function named(problems: readonly string[]): string {
  const shown = problems.slice(0, maxNamed).join('; ')
  const more = problems.length - maxNamed
  return more > 0 ? `${shown}; and ${more} more.` : `${shown}.`
}
