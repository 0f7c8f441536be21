import { apiVersion, type Cluster, type Placement, releaseReasons } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
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

/**
 * Places a bundle on clusters, or changes where it is placed.
 * @throws FleetError `UnknownCluster` when the hub knows no cluster of a given name: nothing is changed then
 */
export async function place(hub: KubeClient, options: PlaceOptions, signal: AbortSignal): Promise<Placement> {
  const known = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
  const names = new Set(known.items.map((cluster) => cluster.metadata.name))
  const unknown = options.clusters.filter((name) => !names.has(name))
  if (unknown.length > 0) {
    throw new FleetError(
      'UnknownCluster',
      `The fleet has no cluster ${unknown.map((name) => `"${name}"`).join(', ')}. It has: ${[...names].sort().join(', ')}.`,
    )
  }
  const { repository, version, digest } = options.bundle
  const placement: KubeObject = {
    apiVersion,
    kind: 'Placement',
    metadata: { name: options.name },
    spec: { bundle: { repository, version, digest }, namespace: options.namespace, clusters: { names: [...options.clusters] } },
  }
  return hub.apply<Placement & KubeObject>(placement, { fieldManager: installer, force: true, signal })
}

/**
 * Waits until every cluster of the placement reports the release, by this digest, as ready, and until every other cluster has
 * pruned it. Whoever names the clusters of a placement has said where it goes away: a prune that waits for consent gets it here.
 */
export async function placed(hub: KubeClient, options: PlaceOptions, wait: WaitOptions): Promise<void> {
  let missing: string[] = []
  await until(
    wait,
    `release ${options.name}`,
    () => missing.join('; '),
    async (signal) => {
      const { items } = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
      missing = []
      for (const cluster of items) {
        const { name } = cluster.metadata
        const release = cluster.status?.report?.releases.find((one) => one.name === options.name)
        if (options.clusters.includes(name)) {
          if (release?.digest === options.bundle.digest && release.ready) continue
          missing.push(release ? `${name} is not ready (${release.reason}: ${release.message})` : `${name} has not reported it yet`)
        } else if (release) {
          missing.push(`${name} has not pruned it yet (${release.reason}: ${release.message})`)
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
