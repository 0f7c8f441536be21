import { apiVersion, type Cluster, type Placement, type Release } from '@muster/api'
import { fieldChanges, fieldText, type ReadBundle } from '@muster/bundle'
import type { ReleaseView } from '@muster/fleet'
import type { KubeClient, KubeObject } from '@muster/kube'
import { hookJobsAt, nameOf, type Preview, planRelease, previewPlan, refOf, withoutCounts } from '@muster/reconcile'
import type { OpenOptions } from '../artifact.ts'
import { printable, readNamedBundle } from '../bundles.ts'
import { type Context, clientOf, withCluster } from '../context.ts'
import { customizedFor, siteLayersOf, withLiveSealed } from '../customizing.ts'
import { ExitCode, Failure, UsageError } from '../errors.ts'
import { demandReleaseName, readReleases, type WhereOptions } from '../releases.ts'
import { isOutside, memberOf } from './join.ts'

export interface ReleaseDiffOptions extends WhereOptions, OpenOptions {
  readonly version?: string
  readonly exitCode: boolean
  readonly output: 'text' | 'json'
}

/** `muster release diff NAME [REFERENCE]`: what applying a bundle would do to the clusters, as their API servers say, without doing it. */
export async function releaseDiff(
  context: Context,
  name: string,
  reference: string | undefined,
  options: ReleaseDiffOptions,
): Promise<void> {
  demandReleaseName(name)
  if (reference !== undefined && options.version !== undefined) throw new UsageError('Give a reference or --version, not both.')
  const meant = (await readReleases(context, options)).filter((view) => view.name === name)
  if (meant.length === 0) throw new Failure(`No release "${name}" is wanted or installed here. "muster release list" shows which are.`)
  const diffs: ClusterDiff[] = []
  for (const view of meant) diffs.push(await diffOf(context, view, reference, options))
  const text = options.output === 'json' ? JSON.stringify(diffs.map(plain), undefined, 2) : diffs.map(releaseDiffText).join('\n\n')
  context.stdout.write(`${text}\n`)
  if (options.exitCode && diffs.some(({ objects }) => objects.some(({ what }) => what !== 'Same'))) throw new ExitCode(1)
}

/** What would become of a release in one cluster. */
export interface ClusterDiff {
  readonly name: string
  readonly cluster: string
  /** Versions: what runs, and what was looked at. */
  readonly from: string | undefined
  readonly to: string
  readonly objects: readonly Preview[]
  /** Hooks that would run for it, in their order: `before-upgrade Job shop/migrate`. */
  readonly hooks: readonly string[]
}

async function diffOf(
  context: Context,
  view: ReleaseView,
  reference: string | undefined,
  options: ReleaseDiffOptions,
): Promise<ClusterDiff> {
  const { name, cluster, placement, release } = view
  const { signal } = context
  const bundle = await bundleOf(context, referenceOf(view, reference, options.version), options)
  const running = await runningBundle(context, release, options)
  const client = isOutside(options) ? await memberOf(context, cluster, options) : await clientOf(context, cluster)
  try {
    const { namespace, adopt = [], conflicts } = (placement?.spec ?? {}) as Partial<Placement['spec']>
    const inventory = release?.status?.inventory ?? []
    const about = { view, namespace: namespace ?? release?.spec.namespace ?? name }
    const plan = await planRelease(client, ...(await inCluster(context, client, bundle, about)))
    // The version that runs may not fit what is said now; then it is taken as it is signed.
    const before =
      running &&
      (await planRelease(
        client,
        ...(await inCluster(context, client, running, about).catch((error: unknown) => {
          if (!(error instanceof Failure)) throw error
          return asSigned(running, about, signal)
        })),
      ))
    const last = new Map(before?.objects.map(({ key, object }) => [key, object]))
    const takeOver = { adopt, takeFrom: conflicts?.takeFrom ?? [] }
    const objects = await previewPlan(client, plan, { release: name, inventory, takeOver, last: (key) => last.get(key), signal })
    const from = release?.status?.appliedVersion
    const moments = from === undefined ? (['before-install', 'after-install'] as const) : (['before-upgrade', 'after-upgrade'] as const)
    const hooks = moments.flatMap((event) => hookJobsAt(plan.objects, event).map(({ object }) => `${event} ${nameOf(refOf(object))}`))
    return { name, cluster, from, to: bundle.config.version, objects, hooks }
  } finally {
    client.close()
  }
}

type Planned = [objects: readonly KubeObject[], options: Parameters<typeof planRelease>[2]]
type About = { readonly view: ReleaseView; readonly namespace: string }

function asSigned({ objects }: Pick<ReadBundle, 'objects'>, { view: { name, release }, namespace }: About, signal: AbortSignal): Planned {
  const inventory = release?.status?.inventory ?? []
  return [objects as KubeObject[], { release: name, namespace, inventory, signal }]
}

/** The bundle with what is said of it for this cluster, and by its own site. @throws Failure where that does not fit */
async function inCluster(context: Context, client: KubeClient, bundle: ReadBundle, about: About): Promise<Planned> {
  const { view, namespace } = about
  const { name, placement, release } = view
  const { signal } = context
  const site = await siteLayersOf(client, bundle, name, signal)
  const customizations = release?.status?.customizations ?? []
  const unknown = placement === undefined ? customizations.filter(({ level }) => level !== 'site') : []
  if (unknown.length > 0) {
    const names = unknown.map((one) => one.name).join(', ')
    context.stderr.write(`The hub is not asked, so what ${names} would make of the bundle is not in this.\n`)
  }
  const cluster = placement?.spec.customize === undefined ? { metadata: { name: view.cluster } } : await clusterOf(context, view.cluster)
  const made = customizedFor(bundle, { name, namespace, cluster, said: placement?.spec ?? {}, site })
  const [, options] = asSigned(bundle, about, signal)
  return [await withLiveSealed(client, made, signal), { ...options, namespace: made.namespace }]
}

/** With its labels, by which customizations are chosen. */
async function clusterOf(context: Context, name: string): Promise<Pick<Cluster, 'metadata'>> {
  return withCluster(context, 'hub', (hub) =>
    hub.get<Cluster & KubeObject>({ apiVersion, kind: 'Cluster', name }, { signal: context.signal }),
  )
}

/** Which bundle is meant: the one that was named, another version of the one that is placed, or that itself. */
function referenceOf({ placement, release, name }: ReleaseView, reference: string | undefined, version: string | undefined): string {
  if (reference !== undefined) return reference
  const bundle = placement?.spec.bundle ?? release?.spec.bundle
  if (bundle === undefined)
    throw new Failure(`It is not known which bundle release "${name}" is of. Name one: muster release diff ${name} REFERENCE.`)
  return version === undefined ? `${bundle.repository}@${bundle.digest}` : `${bundle.repository}:${version.replaceAll('+', '_')}`
}

async function bundleOf(context: Context, reference: string, options: OpenOptions): Promise<ReadBundle> {
  return (await readNamedBundle(context, reference, options)).bundle
}

/** What runs: with it, what others changed since is told from what was theirs before. Without it, both are shown as theirs. */
async function runningBundle(context: Context, release: Release | undefined, options: OpenOptions): Promise<ReadBundle | undefined> {
  const digest = release?.status?.appliedDigest
  if (release === undefined || digest === undefined) return undefined
  try {
    return await bundleOf(context, `${release.spec.bundle.repository}@${digest}`, options)
  } catch {
    context.signal.throwIfAborted()
    return undefined
  }
}

const signs: Readonly<Record<Exclude<Preview['what'], 'Same'>, string>> = {
  Created: '+',
  Removed: '-',
  Changed: '~',
  Adopted: '~',
  Recreated: '±',
  Refused: '!',
}
const words: Partial<Record<Preview['what'], string>> = {
  Adopted: 'adopted: it was there before and is the release’s from then on',
  Recreated: 'deleted and made again: it cannot be changed like this',
  Removed: 'removed once the new version is healthy',
}
const fieldsShown = 30

/** A difference for people: what is long is cut; the data has all of it. */
export function releaseDiffText({ name, cluster, from, to, objects, hooks }: ClusterDiff): string {
  const different = objects.filter(({ what }) => what !== 'Same')
  const same = objects.length - different.length
  const title = `${name} in ${cluster}: ${from === undefined ? to : from === to ? `${to}, as it runs` : `${from} → ${to}`}`
  if (different.length === 0) return `${title}\n  Nothing would be different.`
  return [
    title,
    ...different.flatMap(objectText),
    ...hooks.map((hook) => `  > ${hook} (a hook: it runs once for this)`),
    ...(same === 0 ? [] : [`  ${same === 1 ? '1 object stays as it is' : `${same} objects stay as they are`}.`]),
  ].join('\n')
}

function objectText(preview: Preview): string[] {
  const { ref, what, code, message } = preview
  if (what === 'Same') return []
  const word = what === 'Refused' ? `${code ?? 'refused'}: ${printable(message ?? '')}` : words[what]
  const lines = fieldsOf(preview).map((field) => `      ${fieldText(field)}`)
  const more = lines.length > fieldsShown ? [`      … and ${lines.length - fieldsShown} more fields`] : []
  return [`  ${signs[what]} ${nameOf(ref)}${word === undefined ? '' : ` (${word})`}`, ...lines.slice(0, fieldsShown), ...more]
}

/** Fields that would be others; of a Secret's values only that they would. */
function fieldsOf({ before, after }: Preview): ReturnType<typeof fieldChanges> {
  return before === undefined || after === undefined ? [] : fieldChanges(bare(before), bare(after))
}

/** What the API server adds to an object that is only asked about is not part of the question. */
function bare(object: KubeObject): KubeObject {
  const { metadata, ...rest } = withoutCounts(object)
  const { uid: _uid, creationTimestamp: _created, selfLink: _link, ...kept } = metadata as KubeObject['metadata'] & { selfLink?: string }
  return { ...rest, metadata: kept } as KubeObject
}

/** For machines: the fields in place of whole objects, so that no Secret's value is in it. */
function plain({ objects, ...diff }: ClusterDiff): unknown {
  return {
    ...diff,
    objects: objects
      .filter(({ what }) => what !== 'Same')
      .map((preview) => {
        const { before: _before, after: _after, ...rest } = preview
        return { ...rest, fields: fieldsOf(preview) }
      }),
    same: objects.filter(({ what }) => what === 'Same').length,
  }
}
