import { apiVersion, type Placement } from '@muster/api'
import { versionTag } from '@muster/bundle'
import { type PlaceOptions, type PublishedBundle, place, placed } from '@muster/fleet'
import type { KubeObject } from '@muster/kube'
import { bundleTags, channelOf } from '../bundles.ts'
import { type Context, withCluster } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { registryAccess, writableRegistry } from '../registry.ts'

const patienceMs = 5 * 60_000

export interface PlaceCommandOptions {
  readonly version?: string
  readonly namespace?: string
  readonly on?: readonly string[]
  readonly nowhere: boolean
  readonly wait: boolean
}

/** `muster place NAME --on CLUSTERS`: says where a bundle runs, and waits until it does. */
export async function placeBundle(context: Context, name: string, options: PlaceCommandOptions): Promise<void> {
  if (options.nowhere === (options.on?.length ?? 0) > 0) {
    throw new UsageError('Say where: --on CLUSTER,… with at least one cluster, or --nowhere.')
  }
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new UsageError(`"${name}" is no name of a bundle: use at most 63 lower-case letters, digits and hyphens.`)
  }
  if (options.version === '') throw new UsageError('--version needs a version, such as --version 1.2.3.')
  await withCluster(context, 'hub', async (hub) => {
    const present = await hub.find<Placement & KubeObject>({ apiVersion, kind: 'Placement', name }, { signal: context.signal })
    const request: PlaceOptions = {
      name,
      bundle: await bundleOf(context, name, options.version, present),
      namespace: options.namespace ?? present?.spec.namespace ?? name,
      clusters: options.on ?? [],
    }
    await place(hub, request, context.signal)
    if (options.wait) await placed(hub, request, { signal: context.signal, deadlineMs: patienceMs })
    const where = request.clusters.length > 0 ? request.clusters.join(', ') : 'no cluster'
    context.stdout.write(
      `${name} ${request.bundle.version} is placed on ${where}${options.wait && request.clusters.length > 0 ? ', ready there' : ''}${options.wait ? ', and gone from all others' : ''}.\n`,
    )
  })
}

/** The bundle that is meant: of the version that was said, else the one that is placed, else the only one that there is. */
export async function bundleOf(
  context: Context,
  name: string,
  version: string | undefined,
  present: Placement | undefined,
): Promise<PublishedBundle> {
  if (version === undefined && present) return present.spec.bundle
  const registry = writableRegistry(await registryAccess(context))
  try {
    const repository = registry.repository(`bundles/${name}`)
    const bundles = await bundleTags(repository, await repository.tags({ signal: context.signal }), context.signal)
    const versions = bundles.filter((tag) => channelOf(tag) === undefined).map((tag) => tag.version)
    const published = versions.length > 0 ? `Published are: ${versions.join(', ')}.` : 'Publish it first: muster publish DIR.'
    if (versions.length === 0) throw new Failure(`No bundle ${name} is published. ${published}`)
    const chosen = version ?? (versions.length === 1 ? versions[0] : undefined)
    if (chosen === undefined) throw new UsageError(`Say which version of ${name} with --version. ${published}`)
    // A channel stands for the version that it leads to now.
    const found = bundles.find(({ tag }) => tag === versionTag(chosen)) ?? bundles.find(({ tag }) => tag === chosen)
    if (!found) throw new Failure(`There is no version ${chosen} of ${name}, and no channel. ${published}`)
    return { repository: `bundles/${name}`, version: found.version, digest: found.digest }
  } finally {
    registry.close()
  }
}
