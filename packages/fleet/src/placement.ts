import { apiVersion, type Cluster, type Placement } from '@muster/api'
import type { KubeClient, KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { installer } from './names.ts'

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

/** Waits until every cluster of the placement reports the release, by this digest, as ready. */
export async function placed(hub: KubeClient, options: PlaceOptions, wait: WaitOptions): Promise<void> {
  let missing: string[] = []
  await until(
    wait,
    `release ${options.name}`,
    () => `not ready in ${missing.join('; ')}`,
    async (signal) => {
      const { items } = await hub.list<Cluster & KubeObject>({ apiVersion, kind: 'Cluster' }, { signal })
      missing = options.clusters.flatMap((name) => {
        const cluster = items.find((one) => one.metadata.name === name)
        const release = cluster?.status?.report?.releases.find((one) => one.name === options.name)
        if (release?.digest === options.bundle.digest && release.ready) return []
        return [release ? `${name} (${release.reason}: ${release.message})` : `${name} (not reported yet)`]
      })
      return missing.length === 0
    },
  )
}
