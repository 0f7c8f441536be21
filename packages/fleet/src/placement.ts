import { apiVersion, type Cluster, type Placement, releaseReasons, selects } from '@muster/api'
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
}

type Spec = Placement['spec']
type LivePlacement = Placement & KubeObject
/** A placement as somebody wrote it down. */
export type WrittenPlacement = Pick<Placement, 'metadata' | 'spec'>

/**
 * Places a bundle on clusters, or changes where it is placed; what else its placement says stays.
 * @throws FleetError `UnknownCluster` when the hub knows no cluster of a given name: nothing is changed then
 */
export async function place(hub: KubeClient, options: PlaceOptions, signal: AbortSignal): Promise<Placement> {
  const { repository, version, digest } = options.bundle
  const said: Spec = { bundle: { repository, version, digest }, namespace: options.namespace, clusters: { names: [...options.clusters] } }
  await demandKnown(hub, [said], signal)
  return write(hub, { name: options.name }, (present) => ({ ...present?.spec, ...said }), signal)
}

/**
 * Writes placements as they are given: what one does not say is taken out of the one that is there, except values sealed to clusters, which
 * only those can read and nobody has anywhere else.
 * @throws FleetError `UnknownCluster`: nothing is changed then
 */
export async function placeWritten(hub: KubeClient, placements: readonly WrittenPlacement[], signal: AbortSignal): Promise<Placement[]> {
  await demandKnown(
    hub,
    placements.map(({ spec }) => spec),
    signal,
  )
  const written: Placement[] = []
  for (const { metadata, spec } of placements) {
    const whole = (present: Placement | undefined): Spec =>
      present?.spec.sealed === undefined ? spec : { sealed: present.spec.sealed, ...spec }
    written.push(await write(hub, metadata, whole, signal))
  }
  return written
}

async function demandKnown(hub: KubeClient, specs: readonly Spec[], signal: AbortSignal): Promise<void> {
  const known = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
  const names = new Set(known.items.map((cluster) => cluster.metadata.name))
  const unknown = new Set(specs.flatMap(({ clusters }) => clusters.names ?? []).filter((name) => !names.has(name)))
  if (unknown.size === 0) return
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
 * Waits until every cluster of the placement reports the release, by this digest, as ready, and until every other cluster has
 * pruned it. Whoever says where a placement goes has said where it goes away: a prune that waits for consent gets it here.
 */
export async function placed(hub: KubeClient, placement: WrittenPlacement, wait: WaitOptions): Promise<void> {
  const { name } = placement.metadata
  let missing: string[] = []
  await until(
    wait,
    `release ${name}`,
    () => missing.join('; '),
    async (signal) => {
      const { items } = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
      missing = []
      for (const cluster of items) {
        const at = cluster.metadata.name
        const release = cluster.status?.report?.releases.find((one) => one.name === name)
        if (selects(placement, cluster)) {
          if (release?.digest === placement.spec.bundle.digest && release.ready) continue
          if (release?.held !== undefined && release.digest !== placement.spec.bundle.digest)
            missing.push(`${at} holds it at ${release.held.version} (${release.held.reason})`)
          else missing.push(release ? `${at} is not ready (${release.reason}: ${release.message})` : `${at} has not reported it yet`)
        } else if (release) {
          missing.push(`${at} has not pruned it yet (${release.reason}: ${release.message})`)
          if (release.reason === releaseReasons.protectedNeedsConsent)
            throw new FleetError('NeedsConsent', `${name} is taken away from ${at} but for what needs consent. ${release.message}`)
          if (release.reason === releaseReasons.pruneNeedsConsent) await consentToPrune(hub, cluster, signal)
        }
      }
      return missing.length === 0
    },
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
