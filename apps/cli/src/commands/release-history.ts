import type { PlacementHistoryEntry, ReleaseHistoryEntry } from '@muster/api'
import { shortDigest } from '@muster/fleet'
import type { Context } from '../context.ts'
import { Failure } from '../errors.ts'
import { demandReleaseName, readReleases, type WhereOptions } from '../releases.ts'
import { table } from '../table.ts'

export interface ReleaseHistoryOptions extends WhereOptions {
  readonly output: 'table' | 'json'
}

/** Versions of one release in one place, the newest first. */
export interface PlaceHistory {
  /** A cluster; the hub has what was placed. */
  readonly where: string
  readonly versions: readonly (ReleaseHistoryEntry | PlacementHistoryEntry)[]
}

/** `muster release history NAME`: what was placed, and what ran in each cluster, from when to when, and how it ended. */
export async function releaseHistory(context: Context, name: string, options: ReleaseHistoryOptions): Promise<void> {
  demandReleaseName(name)
  const views = (await readReleases(context, options)).filter((view) => view.name === name)
  if (views.length === 0) throw new Failure(`No cluster has a release "${name}".`)
  const placed = views.find(({ placement }) => placement !== undefined)?.placement?.status?.history
  const histories: PlaceHistory[] = [
    ...(placed === undefined || options.cluster !== undefined ? [] : [{ where: 'placed', versions: placed }]),
    ...views.map(({ cluster, release }) => ({ where: cluster, versions: release?.status?.history ?? [] })),
  ]
  const text = options.output === 'json' ? JSON.stringify(histories, undefined, 2) : historyTable(histories)
  context.stdout.write(`${text}\n`)
}

export function historyTable(histories: readonly PlaceHistory[]): string {
  const rows = histories.flatMap(({ where, versions }) =>
    versions.map((one) => [
      where,
      one.version,
      shortDigest(one.digest),
      time(one.from),
      one.to === undefined ? '-' : time(one.to),
      'by' in one ? one.by : '-',
      'generation' in one ? String(one.generation) : '-',
      'outcome' in one ? one.outcome : '-',
    ]),
  )
  if (rows.length === 0) return 'Nothing is remembered yet, or no cluster that has it can be reached from here.'
  return table(['WHERE', 'VERSION', 'DIGEST', 'FROM', 'TO', 'BY', 'GENERATION', 'OUTCOME'], rows)
}

function time(iso: string): string {
  return `${iso.slice(0, 19)}Z`
}
