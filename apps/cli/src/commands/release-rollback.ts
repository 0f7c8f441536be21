import { apiVersion, type Placement, type Release } from '@muster/api'
import { pastVersion, placed, placeWritten, shortDigest, standingOf, unknownRelease } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { type Context, withCluster } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { demandReleaseName, isAtSite, type WhereOptions, withSite } from '../releases.ts'
import { now, said } from './release-site.ts'

const patienceMs = 5 * 60_000

export interface RollbackOptions extends WhereOptions {
  /** A version or digest that ran before; the one before the present, where none is given. */
  readonly to?: string
  readonly reason?: string
  readonly wait: boolean
}

/** `muster release rollback NAME`: back to a version that ran before, by the hub, or held at a site whatever the hub wants. */
export async function releaseRollback(context: Context, name: string, options: RollbackOptions): Promise<void> {
  demandReleaseName(name)
  if (!isAtSite(options)) return rollBackPlacement(context, name, options)
  const { reason } = options
  if (reason === undefined) throw new UsageError('Say why, for those who look at it later: --reason TEXT.')
  await withSite(context, options, async (member) => {
    const release = await member.find<Release & KubeObject>({ apiVersion, kind: 'Release', name }, { signal: context.signal })
    if (release === undefined) throw await unknownRelease(member, name, context.signal)
    const past = pastVersion(release.status?.history ?? [], release.status?.appliedDigest, options.to)
    const after = await said(context, member, name, { hold: { digest: past.digest, reason, since: now() } })
    const standing = standingOf({ name, cluster: '', silent: false, release: after })
    context.stdout.write(
      `${name} is held here at ${past.version} (${shortDigest(past.digest)}) until "muster release resume". ${standing?.message ?? ''}\n`,
    )
  })
}

async function rollBackPlacement(context: Context, name: string, options: RollbackOptions): Promise<void> {
  await withCluster(context, 'hub', async (hub) => {
    const present = await hub.find<Placement & KubeObject>({ apiVersion, kind: 'Placement', name }, { signal: context.signal })
    if (present === undefined) throw new Failure(`The hub has no placement "${name}". "muster release list" shows what there is.`)
    const { digest, version, repository } = pastVersion(present.status?.history ?? [], present.spec.bundle.digest, options.to)
    const spec = { ...present.spec, bundle: { digest, version, repository } }
    const [placement] = await placeWritten(hub, [{ metadata: { name }, spec }], context.signal)
    if (options.wait && placement !== undefined) await placed(hub, placement, { signal: context.signal, deadlineMs: patienceMs })
    context.stdout.write(`${name} is placed at ${version} (${shortDigest(digest)}) again${options.wait ? ', and ready' : ''}.\n`)
  })
}
