import {
  apiVersion,
  type Cluster,
  cycleOf,
  type DriftMode,
  type Placement,
  placementReasons,
  type ReleaseReport,
  releaseReasons,
  selects,
} from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { installer } from './names.ts'

/** Annotation of a Cluster: the generation of the channel whose prune is consented to. */
const pruneConsent = 'muster.dev/prune-consent'

/** A published bundle: where it is and what it is. */
export interface PublishedBundle {
  readonly repository: string
  readonly version: string
  readonly digest: string
}

export interface PlaceOptions {
  /** Name of the placement and of the release that it becomes. */
  readonly name: string
  readonly bundle: PublishedBundle
  readonly namespace: string
  readonly clusters: readonly string[]
  /** What is done about drift; as it is, where nothing is said. */
  readonly drift?: DriftMode | undefined
}

type Spec = Placement['spec']
type LivePlacement = Placement & KubeObject
/** A placement as somebody wrote it down. */
export type WrittenPlacement = Pick<Placement, 'metadata' | 'spec'>

/**
 * Places a bundle on clusters, or changes where it is placed; what else its placement says stays.
 * @throws FleetError `UnknownCluster` when the hub knows no cluster of a given name, `DependencyCycle`: nothing is changed then
 */
export async function place(hub: KubeClient, options: PlaceOptions, signal: AbortSignal): Promise<Placement> {
  const { repository, version, digest } = options.bundle
  const said: Spec = { bundle: { repository, version, digest }, namespace: options.namespace, clusters: { names: [...options.clusters] } }
  const clusters = await demandKnown(hub, [said], signal)
  const { drift: mode } = options
  const whole = ({ spec }: Partial<Placement> = {}): Spec => ({
    ...spec,
    ...said,
    ...(mode === undefined ? {} : { drift: { ...spec?.drift, mode } }),
  })
  await demandNoCycle(hub, [{ metadata: { name: options.name }, whole }], clusters, signal)
  return write(hub, { name: options.name }, whole, signal)
}

/**
 * Writes placements as they are given: what one does not say is taken out of the one that is there, except values sealed to clusters, which
 * only those can read and nobody has anywhere else.
 * @throws FleetError `UnknownCluster`, `DependencyCycle`: nothing is changed then
 */
export async function placeWritten(hub: KubeClient, placements: readonly WrittenPlacement[], signal: AbortSignal): Promise<Placement[]> {
  const clusters = await demandKnown(
    hub,
    placements.map(({ spec }) => spec),
    signal,
  )
  const changes = placements.map(({ metadata, spec }): Change => {
    const whole = (present: Placement | undefined): Spec =>
      present?.spec.sealed === undefined ? spec : { sealed: present.spec.sealed, ...spec }
    return { metadata, whole }
  })
  await demandNoCycle(hub, changes, clusters, signal)
  const written: Placement[] = []
  for (const { metadata, whole } of changes) written.push(await write(hub, metadata, whole, signal))
  return written
}

/** A placement to be written: what it will be, from what it is. */
interface Change {
  readonly metadata: Placement['metadata']
  readonly whole: (present: Placement | undefined) => Spec
}

/** Refuses placements that would wait for themselves by way of others, in one cluster or across several. */
async function demandNoCycle(
  hub: KubeClient,
  changes: readonly Change[],
  clusters: readonly Cluster[],
  signal: AbortSignal,
): Promise<void> {
  const { items } = await hub.list<LivePlacement>({ apiVersion, kind: 'Placement' }, { signal })
  const after = new Map<string, WrittenPlacement>(items.map((placement) => [placement.metadata.name, placement]))
  for (const { metadata, whole } of changes) {
    after.set(metadata.name, { metadata, spec: whole(items.find((one) => one.metadata.name === metadata.name)) })
  }
  const fleet = {
    placement: (name: string) => after.get(name),
    cluster: (name: string) => clusters.find((cluster) => cluster.metadata.name === name),
  }
  for (const { metadata } of changes) {
    const placement = after.get(metadata.name)
    const cycle = placement && cycleOf(placement, clusters, fleet)
    if (cycle === undefined) continue
    throw new FleetError(
      'DependencyCycle',
      `${metadata.name} would wait for ever, since each of these waits for the next: ${cycle}. Take one of these dependencies out (spec.dependsOn). Nothing was placed.`,
    )
  }
}

async function demandKnown(hub: KubeClient, specs: readonly Spec[], signal: AbortSignal): Promise<readonly Cluster[]> {
  const known = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
  const names = new Set(known.items.map((cluster) => cluster.metadata.name))
  const unknown = new Set(specs.flatMap(({ clusters }) => clusters.names ?? []).filter((name) => !names.has(name)))
  if (unknown.size === 0) return known.items
  const said = [...unknown].map((name) => `"${name}"`).join(', ')
  throw new FleetError('UnknownCluster', `The fleet has no cluster ${said}. It has: ${[...names].sort().join(', ')}.`)
}

/** Somebody else may write the same placement at the same moment. */
const maxTries = 5

/** Writes a placement as a whole, over the version that was read and no other. */
async function write(
  hub: KubeClient,
  { name, labels, annotations }: Placement['metadata'],
  change: (present: Placement | undefined) => Spec,
  signal: AbortSignal,
): Promise<Placement> {
  for (let tries = 1; ; tries++) {
    const present = await hub.find<LivePlacement>({ apiVersion, kind: 'Placement', name }, { signal })
    const marks = {
      ...(labels === undefined ? {} : { labels: { ...present?.metadata.labels, ...labels } }),
      ...(annotations === undefined ? {} : { annotations: { ...present?.metadata.annotations, ...annotations } }),
    }
    const placement = {
      apiVersion,
      kind: 'Placement',
      metadata: { ...present?.metadata, name, ...marks },
      spec: change(present),
    } as LivePlacement
    const options = { fieldManager: installer, fieldValidation: 'Strict', signal } as const
    try {
      return present === undefined ? await hub.create(placement, options) : await hub.replace(placement, options)
    } catch (error) {
      const overtaken = isKubeError(error, 'Conflict') || isKubeError(error, 'AlreadyExists')
      if (!overtaken || tries >= maxTries) throw error
    }
  }
}

/**
 * Waits until every cluster of the placement reports the release, by this digest and with these settings, as ready, and until every other
 * cluster has pruned it. Which settings a cluster speaks of is known to the hub, so it is the hub that must say so too. Whoever says where a
 * placement goes has said where it goes away: a prune that waits for consent gets it here.
 * @throws FleetError `RolledBack` as soon as a cluster took it and went back from it, `Held` as soon as it is ready but where a site holds it at
 * another version, `NeedsConsent`, `NotReady` at the end of the time
 */
export async function placed(hub: KubeClient, placement: WrittenPlacement, wait: WaitOptions): Promise<void> {
  const { name } = placement.metadata
  let missing: string[] = []
  await until(
    wait,
    `release ${name}`,
    () => missing.join('; '),
    async (signal) => {
      const seen = await hub.find<LivePlacement>({ apiVersion, kind: 'Placement', name }, { signal })
      const { items } = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
      const looked = (seen?.status?.observedGeneration ?? 0) >= (placement.metadata.generation ?? seen?.metadata.generation ?? 1)
      if (looked) demandNotGoneBack(placement, seen?.status?.rolledBack ?? [], items)
      missing = []
      const holders: string[] = []
      for (const cluster of items) {
        const at = cluster.metadata.name
        const release = cluster.status?.report?.releases.find((one) => one.name === name)
        if (selects(placement, cluster)) {
          if (release?.digest === placement.spec.bundle.digest && release.ready) continue
          if (release?.held !== undefined && release.digest !== placement.spec.bundle.digest) holders.push(holdText(at, release.held))
          else missing.push(release ? `${at} is not ready (${release.reason}: ${release.message})` : `${at} has not reported it yet`)
        } else if (release) {
          missing.push(`${at} has not pruned it yet (${release.reason}: ${release.message})`)
          if (release.reason === releaseReasons.protectedNeedsConsent)
            throw new FleetError('NeedsConsent', `${name} is taken away from ${at} but for what needs consent. ${release.message}`)
          if (release.reason === releaseReasons.pruneNeedsConsent) await consentToPrune(hub, cluster, signal)
        }
      }
      if (missing.length === 0 && holders.length > 0 && looked) demandNotHeld(placement, seen, holders)
      missing.push(...holders)
      if (missing.length === 0) missing.push(...notReadyBy(seen, looked))
      return missing.length === 0
    },
  )
}

/** What the hub still waits for. */
function notReadyBy(seen: LivePlacement | undefined, looked: boolean): string[] {
  if (!looked) return ['the hub has not looked at it yet']
  const condition = seen?.status?.conditions?.find(({ type }) => type === 'Ready')
  if (condition?.status === 'True' || condition?.reason === placementReasons.noClusters) return []
  return [condition?.message.replace(/\.$/, '') ?? 'the hub has not said how it stands yet']
}

function holdText(cluster: string, { version, reason, since }: NonNullable<ReleaseReport['held']>): string {
  return `${cluster} holds it at ${version}${since === undefined ? '' : ` since ${since}`} (${reason})`
}

/** A site that holds it does so until somebody there resumes it: to wait for that would be in vain. */
function demandNotHeld({ metadata: { name }, spec }: WrittenPlacement, seen: LivePlacement | undefined, holders: readonly string[]): void {
  if (seen?.status?.conditions?.find(({ type }) => type === 'Ready')?.reason !== placementReasons.held) return
  throw new FleetError(
    'Held',
    `${name} ${spec.bundle.version} is placed, and ready but where its site holds it: ${holders.join('; ')}. Such a cluster takes it once its site has it follow again: muster release resume ${name} --cluster NAME.`,
  )
}

/** What a cluster went back from is not tried again there: to wait for it would be in vain. */
function demandNotGoneBack({ metadata, spec }: WrittenPlacement, rolledBack: readonly string[], clusters: readonly Cluster[]): void {
  const [first] = rolledBack
  if (first === undefined) return
  const where = clusters.find((cluster) => cluster.metadata.name === first)
  const said = where?.status?.report?.releases.find(({ name }) => name === metadata.name)?.message ?? 'It did not become healthy.'
  throw new FleetError(
    'RolledBack',
    `${rolledBack.join(', ')} took ${metadata.name} ${spec.bundle.version} and went back from it. ${first} says: ${said}`,
  )
}

/** Consents to what the channel that the cluster holds now removes; a later channel needs a consent of its own. */
async function consentToPrune(hub: KubeClient, cluster: Cluster, signal: AbortSignal): Promise<void> {
  const generation = String(cluster.status?.channel?.generation ?? 0)
  if (cluster.metadata.annotations?.[pruneConsent] === generation) return
  await hub.patch(
    { apiVersion, kind: 'Cluster', name: cluster.metadata.name },
    { metadata: { annotations: { [pruneConsent]: generation } } },
    { type: 'merge', signal },
  )
}
