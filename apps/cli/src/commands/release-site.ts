import { apiVersion, type Release } from '@muster/api'
import { FleetError, obeyed, type SiteChange, sayAtSite, standingOf, suspendPlacement } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import type { Context } from '../context.ts'
import { withCluster } from '../context.ts'
import { Failure } from '../errors.ts'
import { demandReleaseName, isAtSite, readReleases, type WhereOptions, withSite } from '../releases.ts'

/** How long the agent of a cluster may take to answer, in milliseconds. */
const patienceMs = 60_000

export interface SuspendOptions extends WhereOptions {
  readonly reason: string
}

/** `muster release suspend NAME`: nothing is applied, corrected or pruned, in one cluster or by the hub in all. */
export async function releaseSuspend(context: Context, name: string, options: SuspendOptions): Promise<void> {
  demandReleaseName(name)
  if (!isAtSite(options)) {
    await withCluster(context, 'hub', (hub) => suspendPlacement(hub, name, options.reason, context.signal))
    context.stdout.write(`${name} is suspended by the hub: its clusters take that with their next channel.\n`)
    return
  }
  const suspend = { reason: options.reason, since: now() }
  await withSite(context, options, async (member) => {
    await said(context, member, name, { suspend })
    context.stdout.write(
      `${name} is suspended here: nothing is applied, corrected or pruned until "muster release resume".\n` +
        'The write guard stays: to change what it holds by hand, see "muster break-glass --help".\n',
    )
  })
}

/** `muster release resume NAME`: takes back a suspension and a hold: it follows the channel again. */
export async function releaseResume(context: Context, name: string, options: WhereOptions): Promise<void> {
  demandReleaseName(name)
  if (!isAtSite(options)) {
    await withCluster(context, 'hub', (hub) => suspendPlacement(hub, name, undefined, context.signal))
    context.stdout.write(`${name} is resumed by the hub: its clusters take that with their next channel.\n`)
    return
  }
  await withSite(context, options, async (member) => {
    const release = await said(context, member, name, { suspend: null, hold: null })
    const byHub = release.status?.conditions?.some(({ type, reason }) => type === 'Ready' && reason === 'Suspended') === true
    context.stdout.write(
      byHub
        ? `${name} is resumed here; the hub suspends it all the same: "muster release resume ${name}" without --cluster.\n`
        : `${name} follows the channel again.\n`,
    )
  })
}

/** `muster release reconcile NAME`: verifies, applies and compares at once, and says how it stands then. */
export async function releaseReconcile(context: Context, name: string, options: WhereOptions): Promise<void> {
  demandReleaseName(name)
  for (const at of await places(context, name, options)) {
    await withSite(context, at, async (member) => {
      const before = await member.find<Release & KubeObject>({ apiVersion, kind: 'Release', name }, { signal: context.signal })
      if (before?.spec.site?.suspend !== undefined)
        throw new Failure(`${nameIn(before)} is suspended (${before.spec.site.suspend.reason}). Resume it first: muster release resume.`)
      const release = await said(context, member, name, { reconcileAt: now() })
      const standing = standingOf({ name, cluster: clusterOf(release), silent: false, release })
      context.stdout.write(`${nameIn(release)} is ${standing?.ready === true ? 'ready' : 'not ready'}: ${standing?.message ?? ''}\n`)
    })
  }
}

function clusterOf({ metadata }: Release): string {
  return metadata.labels?.['muster.dev/cluster'] ?? ''
}

function nameIn(release: Release): string {
  return `${release.metadata.name} in ${clusterOf(release)}`
}

/** The clusters that are meant, or all that have the release and can be reached. */
async function places(context: Context, name: string, options: WhereOptions): Promise<WhereOptions[]> {
  if (isAtSite(options)) return [options]
  const views = (await readReleases(context, options)).filter((view) => view.name === name)
  const here = views.filter(({ release }) => release !== undefined)
  if (here.length > 0) return here.map(({ cluster }) => ({ cluster }))
  throw new Failure(
    views.length === 0
      ? `No cluster has a release "${name}".`
      : `None of ${views.map(({ cluster }) => cluster).join(', ')} can be reached from here: say which by --kubeconfig and --context.`,
  )
}

/** Says something at the site, and waits until the agent has looked at it. */
export async function said(context: Context, member: KubeClient, name: string, change: SiteChange): Promise<Release> {
  const release = await sayAtSite(member, name, change, context.signal)
  try {
    return await obeyed(member, release, { signal: context.signal, deadlineMs: patienceMs })
  } catch (error) {
    if (!(error instanceof FleetError && error.code === 'NotReady')) throw error
    throw new Failure(`It is written down, and counts when the agent comes back: ${error.message}`, { cause: error })
  }
}

export function now(): string {
  return new Date().toISOString()
}
