import { apiVersion, type DriftMode, type Placement } from '@muster/api'
import { versionTag } from '@muster/bundle'
import { type PublishedBundle, place, placed, placeWritten, type WrittenPlacement } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { bundleTags, channelOf } from '../bundles.ts'
import { type Context, withCluster } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { readGivenText } from '../given-file.ts'
import { type PlacementInFile, readPlacements } from '../placement-file.ts'
import { registryAccess, writableRegistry } from '../registry.ts'

const patienceMs = 5 * 60_000

export interface PlaceCommandOptions {
  readonly version?: string
  readonly namespace?: string
  readonly on?: readonly string[]
  readonly nowhere: boolean
  readonly drift?: DriftMode
  readonly file?: string
  readonly wait: boolean
}

/** `muster place NAME --on CLUSTERS`, `muster place -f FILE`: says where a bundle runs and how, and waits until it does. */
export async function placeBundle(context: Context, name: string | undefined, options: PlaceCommandOptions): Promise<void> {
  if (options.version === '') throw new UsageError('--version needs a version, such as --version 1.2.3.')
  if (options.file !== undefined) return placeFile(context, name, options.file, options)
  if (name === undefined) throw new UsageError('Say what to place: the name of a bundle, or -f FILE with a Placement.')
  if (options.nowhere === (options.on?.length ?? 0) > 0) {
    throw new UsageError('Say where: --on CLUSTER,… with at least one cluster, or --nowhere.')
  }
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new UsageError(`"${name}" is no name of a bundle: use at most 63 lower-case letters, digits and hyphens.`)
  }
  await withCluster(context, 'hub', async (hub) => {
    const present = await presentPlacement(context, hub, name)
    const bundle = await bundleOf(context, `bundles/${name}`, options.version, present)
    const namespace = options.namespace ?? present?.spec.namespace ?? name
    const placement = await place(hub, { name, bundle, namespace, clusters: options.on ?? [], drift: options.drift }, context.signal)
    await settle(context, hub, placement, options.wait)
  })
}

async function placeFile(context: Context, name: string | undefined, file: string, options: PlaceCommandOptions): Promise<void> {
  if (options.on !== undefined || options.nowhere || options.namespace !== undefined || options.drift !== undefined)
    throw new UsageError('With -f the file says where and how: leave out --on, --nowhere, --namespace and --drift, or change the file.')
  const written = readPlacements(await readGivenText(file, { what: 'a Placement' }), file)
  const [first, ...others] = written
  if (options.version !== undefined && others.length > 0)
    throw new UsageError(`${file} holds ${written.length} Placements: --version is for one. Write each version into the file.`)
  if (name !== undefined && (first?.metadata.name !== name || others.length > 0))
    throw new UsageError(`${file} holds ${written.map((one) => one.metadata.name).join(', ')}, not ${name} alone.`)
  await withCluster(context, 'hub', async (hub) => {
    const whole: WrittenPlacement[] = []
    for (const { metadata, spec, bundle } of written) {
      const chosen = await bundleInFile(context, hub, metadata.name, bundle, options.version)
      whole.push({ metadata, spec: { ...spec, bundle: chosen } })
    }
    for (const placement of await placeWritten(hub, whole, context.signal)) await settle(context, hub, placement, options.wait)
  })
}

/** The bundle that a file means: by its digest, else by its version, else the one that is placed, else the only one that there is. */
async function bundleInFile(
  context: Context,
  hub: KubeClient,
  name: string,
  said: PlacementInFile['bundle'],
  version: string | undefined,
): Promise<PublishedBundle> {
  const repository = said.repository ?? `bundles/${name}`
  if (version === undefined && said.digest !== undefined && said.version !== undefined) {
    return { repository, version: said.version, digest: said.digest }
  }
  if (version === undefined && said.digest !== undefined)
    throw new UsageError(`The Placement ${name} says a digest and no version. Say both, or only the version, which is then looked up.`)
  const present = await presentPlacement(context, hub, name)
  const same = present?.spec.bundle.repository === repository ? present : undefined
  return bundleOf(context, repository, version ?? said.version, same)
}

async function presentPlacement(context: Context, hub: KubeClient, name: string): Promise<Placement | undefined> {
  return hub.find<Placement & KubeObject>({ apiVersion, kind: 'Placement', name }, { signal: context.signal })
}

async function settle(context: Context, hub: KubeClient, placement: WrittenPlacement, wait: boolean): Promise<void> {
  if (wait) await placed(hub, placement, { signal: context.signal, deadlineMs: patienceMs })
  const where = whereOf(placement)
  const ready = where === undefined ? '' : ', ready there'
  context.stdout.write(
    `${placement.metadata.name} ${placement.spec.bundle.version} is placed on ${where ?? 'no cluster'}${wait ? `${ready}, and gone from all others` : ''}.\n`,
  )
}

/** Where a placement goes, in words; nothing where it goes nowhere. */
function whereOf({ spec: { clusters } }: WrittenPlacement): string | undefined {
  if (clusters.all === true) return 'all clusters'
  const labels = Object.entries(clusters.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`)
  const named = clusters.names ?? []
  const parts = [
    ...(named.length > 0 ? [named.join(', ')] : []),
    ...(labels.length > 0 ? [`the clusters with ${labels.join(' and ')}`] : []),
  ]
  return parts.length === 0 ? undefined : parts.join(' and ')
}

/** The bundle that is meant: of the version that was said, else the one that is placed, else the only one that there is. */
export async function bundleOf(
  context: Context,
  repositoryName: string,
  version: string | undefined,
  present: Placement | undefined,
): Promise<PublishedBundle> {
  if (version === undefined && present) return present.spec.bundle
  const name = repositoryName.slice(repositoryName.lastIndexOf('/') + 1)
  const registry = writableRegistry(await registryAccess(context))
  try {
    const repository = registry.repository(repositoryName)
    const bundles = await bundleTags(repository, await repository.tags({ signal: context.signal }), context.signal)
    const versions = bundles.filter((tag) => channelOf(tag) === undefined).map((tag) => tag.version)
    const published = versions.length > 0 ? `Published are: ${versions.join(', ')}.` : 'Publish it first: muster publish DIR.'
    if (versions.length === 0) throw new Failure(`No bundle ${name} is published. ${published}`)
    const chosen = version ?? (versions.length === 1 ? versions[0] : undefined)
    if (chosen === undefined) throw new UsageError(`Say which version of ${name} with --version. ${published}`)
    // A channel stands for the version that it leads to now.
    const found = bundles.find(({ tag }) => tag === versionTag(chosen)) ?? bundles.find(({ tag }) => tag === chosen)
    if (!found) throw new Failure(`There is no version ${chosen} of ${name}, and no channel. ${published}`)
    return { repository: repositoryName, version: found.version, digest: found.digest }
  } finally {
    registry.close()
  }
}
