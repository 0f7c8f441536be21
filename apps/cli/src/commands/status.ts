import { apiVersion, type Cluster } from '@muster/api'
import { type ClusterStatus, type FleetStatus, fleetStatus, shortDigest } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { printable } from '../bundles.ts'
import { type Context, withCluster } from '../context.ts'
import { table } from '../table.ts'

export interface StatusOptions {
  readonly output: 'table' | 'json'
}

/** `muster status`: the fleet as the hub knows it. */
export async function status(context: Context, options: StatusOptions): Promise<void> {
  const fleet = await readFleet(context)
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(fleet, undefined, 2)}\n` : `${statusTable(fleet)}\n`)
}

export async function readFleet(context: Context): Promise<FleetStatus> {
  return withCluster(context, 'hub', async (hub) => {
    const { items } = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal: context.signal })
    return fleetStatus(items, new Date())
  })
}

/** One row per release, and one per cluster without any; below it what deserves a sentence. */
export function statusTable(fleet: FleetStatus): string {
  const rows = fleet.clusters.flatMap((cluster) => {
    const own = [cluster.name, cluster.ready ? 'ready' : cluster.reason]
    if (cluster.releases.length === 0) return [[...own, '-', '-', '-', '-', '-', '-']]
    return cluster.releases.map((release) => [
      ...own,
      release.name,
      release.version,
      shortDigest(release.digest),
      release.signedBy || '-',
      release.ready ? 'yes' : release.reason,
      release.drift,
    ])
  })
  const notes = fleet.clusters.flatMap(remarks)
  return [
    table(['CLUSTER', 'STATE', 'RELEASE', 'VERSION', 'DIGEST', 'SIGNED BY', 'READY', 'DRIFT'], rows),
    ...(notes.length ? ['', ...notes] : []),
  ].join('\n')
}

function remarks(cluster: ClusterStatus): string[] {
  const unreadable = cluster.channelUnreadable
  return [
    ...(cluster.ready ? [] : [`${cluster.name}: ${printable(cluster.message)}`]),
    ...(unreadable
      ? [`${cluster.name}: its channel cannot be read since ${unreadable.since} (${unreadable.reason}): ${printable(unreadable.message)}`]
      : []),
    ...cluster.releases.flatMap((release) =>
      release.customizations
        .filter(({ level }) => level === 'site')
        .map(({ name, reason, until }) => {
          const end = until === undefined ? '' : `, until ${until}`
          return `${cluster.name}/${release.name}: the site's own overlay ${name} is in force${end}: ${printable(reason ?? '')}`
        }),
    ),
    ...cluster.releases.flatMap((release) =>
      release.said === undefined ? [] : [`${cluster.name}/${release.name}: ${printable(release.said)}`],
    ),
    ...cluster.releases.flatMap(({ name, driftRemarks }) => driftRemarks.map((said) => `${cluster.name}/${name}: ${printable(said)}`)),
    ...cluster.releases
      .filter((release) => !release.ready)
      .map((release) => `${cluster.name}/${release.name}: ${printable(release.message)}`),
  ]
}
