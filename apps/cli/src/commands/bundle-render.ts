import { apiVersion, type Cluster, type Placement } from '@muster/api'
import type { ReadBundle } from '@muster/bundle'
import type { KubeObject } from '@muster/kube'
import { type Layer, originText, renderYaml, withoutSecrets } from '@muster/overlay'
import type { OpenOptions } from '../artifact.ts'
import { printable, readNamedBundle } from '../bundles.ts'
import { type Context, clientOf, withCluster } from '../context.ts'
import { type Circumstances, customizedFor, siteLayersOf } from '../customizing.ts'
import { Failure, UsageError } from '../errors.ts'
import { readGivenText } from '../given-file.ts'
import { type PlacementInFile, readPlacements } from '../placement-file.ts'
import { plannedAsNew } from '../planned.ts'
import { table } from '../table.ts'

export interface BundleRenderOptions extends OpenOptions {
  readonly cluster: string
  readonly release?: string
  readonly file?: string
  readonly label?: Readonly<Record<string, string>>
  readonly origins: boolean
  readonly output: 'yaml' | 'json'
}

/** `muster bundle render REF --cluster C`: what would be applied there, and which overlay made each field. */
export async function bundleRender(context: Context, reference: string, options: BundleRenderOptions): Promise<void> {
  const { bundle } = await readNamedBundle(context, reference, options)
  const wanted = options.file === undefined ? await wantedByHub(context, bundle, options) : await wantedByFile(bundle, options)
  const planned = await plannedAsNew(customizedFor(bundle, wanted), wanted.name, context.signal)
  if (options.origins) {
    const rows = planned.flatMap(({ object: { kind, metadata }, origins }) => {
      const what = `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`
      return origins.map(({ path, origin }) => [what, printable(path), printable(originText(origin))])
    })
    context.stdout.write(rows.length === 0 ? 'Every field is as the bundle has it.\n' : `${table(['OBJECT', 'FIELD', 'MADE BY'], rows)}\n`)
    return
  }
  if (options.output === 'json') {
    const items = planned.map((one) => ({
      object: withoutSecrets(one),
      origins: one.origins.map(({ path, origin }) => ({ path, ...origin })),
    }))
    context.stdout.write(`${JSON.stringify(items, undefined, 2)}\n`)
    return
  }
  context.stdout.write(renderYaml(planned))
}

async function wantedByHub(context: Context, bundle: ReadBundle, options: BundleRenderOptions): Promise<Circumstances> {
  if (Object.keys(options.label ?? {}).length > 0) throw new UsageError('--label is for -f; the hub knows the labels of its clusters.')
  const name = options.release ?? bundle.config.name
  const { placement, cluster } = await withCluster(context, 'hub', async (hub) => ({
    placement: await hub.find<Placement & KubeObject>({ apiVersion, kind: 'Placement', name }, { signal: context.signal }),
    cluster: await hub.find<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name: options.cluster }, { signal: context.signal }),
  }))
  if (cluster === undefined) throw new Failure(`The fleet has no cluster "${options.cluster}". "muster status" lists those that it has.`)
  if (placement === undefined && options.release !== undefined)
    throw new Failure(`The hub has no Placement "${name}". Give another --release, or -f FILE with one.`)
  const said = placement?.spec ?? {}
  return { name, namespace: placement?.spec.namespace ?? name, cluster, said, site: await siteLayers(context, bundle, name, cluster) }
}

/** A Placement in a file, and no instance: what pipelines look at before anything is placed. */
async function wantedByFile(bundle: ReadBundle, options: BundleRenderOptions): Promise<Circumstances> {
  const file = options.file ?? ''
  const placements = readPlacements(await readGivenText(file, { what: 'a Placement' }), file)
  const name = options.release ?? bundle.config.name
  const placement = placements.find(({ metadata }) => metadata.name === name) ?? only(placements, options.release)
  if (placement === undefined) throw new Failure(`${file} holds no Placement "${name}". Give the name of one with --release.`)
  return {
    name: placement.metadata.name,
    namespace: placement.spec.namespace ?? placement.metadata.name,
    cluster: { metadata: { name: options.cluster, labels: options.label ?? {} } },
    said: placement.spec,
    site: [],
  }
}

function only(placements: readonly PlacementInFile[], release: string | undefined): PlacementInFile | undefined {
  return release === undefined && placements.length === 1 ? placements[0] : undefined
}

/** Overlays of the site itself: read there where the cluster is one of this instance, else known by name from its report. */
async function siteLayers(context: Context, bundle: ReadBundle, release: string, cluster: Cluster): Promise<Layer[]> {
  const { name } = cluster.metadata
  const client = await clientOf(context, name).catch(() => undefined)
  if (client === undefined) {
    const report = cluster.status?.report?.releases.find((one) => one.name === release)
    const own = (report?.customizations ?? []).filter(({ level }) => level === 'site')
    if (own.length > 0)
      context.stderr.write(
        `${name} is not reached from here, and reports overlays of its own that are not in this: ${own.map((one) => one.name).join(', ')}.\n`,
      )
    return []
  }
  try {
    return await siteLayersOf(client, bundle, release, context.signal)
  } finally {
    client.close()
  }
}
