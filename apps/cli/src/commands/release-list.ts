import { ageText, driftOf, driftText, type ReleaseView, runningOf, standingOf } from '@muster/fleet'
import type { Context } from '../context.ts'
import { readReleases, type WhereOptions } from '../releases.ts'
import { table } from '../table.ts'

export interface ReleaseListOptions extends WhereOptions {
  readonly output: 'table' | 'json'
}

/** `muster release list`: every release of every cluster, what is wanted and what runs. */
export async function releaseList(context: Context, options: ReleaseListOptions): Promise<void> {
  const views = await readReleases(context, options)
  const text = options.output === 'json' ? JSON.stringify(views.map(plain), undefined, 2) : releaseTable(views, new Date())
  context.stdout.write(`${text}\n`)
}

function plain(view: ReleaseView): object {
  const { name, cluster, release, placement, silent, reportAgeSeconds } = view
  return {
    cluster,
    name,
    wanted: placement?.spec.bundle ?? release?.spec.bundle,
    running: runningOf(view),
    standing: standingOf(view),
    drift: driftOf(view),
    waitingFor: release?.status?.waitingFor ?? view.report?.waitingFor,
    rollback: release?.status?.rollback ?? view.report?.rollback,
    silent,
    reportAgeSeconds,
  }
}

export function releaseTable(views: readonly ReleaseView[], now: Date): string {
  if (views.length === 0) return 'There are no releases.'
  const rows = views.map((view) => {
    const standing = standingOf(view)
    const wanted = view.placement?.spec.bundle.version ?? (view.release === undefined ? undefined : view.release.spec.bundle.version)
    const since =
      standing?.since === undefined ? '-' : ageText(Math.max(0, Math.round((now.getTime() - Date.parse(standing.since)) / 1000)))
    const ready = view.silent && view.release === undefined ? 'unknown' : standing?.ready === true ? 'yes' : 'no'
    return [
      view.cluster,
      view.name,
      wanted ?? '-',
      runningOf(view)?.version ?? '-',
      ready,
      standing?.reason ?? 'NotReported',
      since,
      driftText(driftOf(view)),
    ]
  })
  return table(['CLUSTER', 'RELEASE', 'WANTED', 'RUNS', 'READY', 'REASON', 'FOR', 'DRIFT'], rows)
}
