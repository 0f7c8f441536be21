import { apiVersion, type Cluster, nameSchema, type Placement, type Release } from '@muster/api'
import { type ReleaseView, releaseViews } from '@muster/fleet'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { isOutside, memberOf, type OutsideOptions } from './commands/join.ts'
import { type Context, clientOf, withCluster } from './context.ts'
import { Failure, UsageError } from './errors.ts'

/** Which clusters are asked for releases: all of the fleet, one of it, or one by a kubeconfig, which needs no hub. */
export interface WhereOptions extends OutsideOptions {
  readonly cluster?: string
}

/** Label of a Release: the cluster in which it is. */
const clusterLabel = 'muster.dev/cluster'

/** @throws UsageError */
export function demandReleaseName(name: string): void {
  if (!nameSchema.safeParse(name).success)
    throw new UsageError(`"${name}" is no name of a release: use at most 63 lower-case letters, digits and hyphens.`)
}

/** Whether one cluster is meant, rather than what the hub says to all. */
export function isAtSite(options: WhereOptions): boolean {
  return options.cluster !== undefined || isOutside(options)
}

/** Lets `use` speak to the cluster that is meant. */
export async function withSite<T>(context: Context, options: WhereOptions, use: (member: KubeClient) => Promise<T>): Promise<T> {
  if (!isOutside(options)) return withCluster(context, options.cluster ?? '', use)
  const member = await memberOf(context, options.cluster ?? '', options)
  try {
    return await use(member)
  } finally {
    member.close()
  }
}

/** What is known of releases: by the hub, and by each cluster that this machine can reach. */
export async function readReleases(context: Context, options: WhereOptions): Promise<ReleaseView[]> {
  const now = new Date()
  if (isOutside(options)) {
    const releases = await ofMember(context, options.cluster ?? '', options)
    return releaseViews({ clusters: [], placements: [], releases: byCluster(releases, options.cluster), now })
  }
  return withCluster(context, 'hub', async (hub) => {
    const clusters = await listed<Cluster>(context, hub, 'Cluster')
    const placements = await listed<Placement>(context, hub, 'Placement')
    const names = clusters.map(({ metadata }) => metadata.name)
    if (options.cluster !== undefined && !names.includes(options.cluster))
      throw new Failure(`The fleet has no cluster "${options.cluster}". It has: ${names.sort().join(', ')}.`)
    const meant = clusters.filter(({ metadata }) => options.cluster === undefined || metadata.name === options.cluster)
    const releases = new Map<string, readonly Release[]>()
    await Promise.all(
      meant.map(async ({ metadata: { name } }) => {
        const found = await reached(context, name)
        if (found !== undefined) releases.set(name, found)
      }),
    )
    return releaseViews({ clusters: meant, placements, releases, now })
  })
}

/** What a cluster itself says; nothing where it cannot be asked from here, so that the hub's word must do. */
async function reached(context: Context, cluster: string): Promise<Release[] | undefined> {
  try {
    return (await ofMember(context, cluster, {})).filter(({ metadata }) => metadata.labels?.[clusterLabel] === cluster)
  } catch (error) {
    context.signal.throwIfAborted()
    // It joined by a kubeconfig that this machine need not have, or is away.
    if (error instanceof Failure || isKubeError(error)) return undefined
    throw error
  }
}

async function ofMember(context: Context, cluster: string, options: OutsideOptions): Promise<Release[]> {
  const member = isOutside(options) ? await memberOf(context, cluster, options) : await clientOf(context, cluster)
  try {
    return await listed<Release>(context, member, 'Release')
  } finally {
    member.close()
  }
}

async function listed<T>(context: Context, client: KubeClient, kind: string): Promise<T[]> {
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(20_000)])
  return (await client.list<T & KubeObject>({ apiVersion, kind }, { signal })).items
}

function byCluster(releases: readonly Release[], cluster: string | undefined): Map<string, Release[]> {
  const found = new Map<string, Release[]>()
  for (const release of releases) {
    const name = release.metadata.labels?.[clusterLabel] ?? ''
    if (cluster === undefined || cluster === name) found.set(name, [...(found.get(name) ?? []), release])
  }
  return found
}
