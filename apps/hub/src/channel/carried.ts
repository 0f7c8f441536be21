import { isDeepStrictEqual } from 'node:util'
import type { ChannelContent, ChannelRelease } from '@muster/trust'

/** What a placement comes to in one cluster, without what only a look into the registry tells. */
export type WantedRelease = {
  readonly name: string
  readonly bundle: { readonly digest: string }
  readonly namespace?: string | undefined
  readonly settings?: ChannelRelease['settings'] | undefined
}

/**
 * Since which generation the channel of each cluster says of a release what it says now. An agent that holds an older one may well report the
 * same digest as ready: of other settings.
 */
export class CarriedReleases {
  readonly #clusters = new Map<string, ReadonlyMap<string, { readonly entry: ChannelRelease; readonly since: number }>>()

  /** Takes in the channel that the registry has for a cluster. */
  published({ cluster, generation, releases }: Pick<ChannelContent, 'cluster' | 'generation' | 'releases'>): void {
    const before = this.#clusters.get(cluster)
    const now = releases.map((entry) => {
      const known = before?.get(entry.name)
      const same = known !== undefined && known.since <= generation && isDeepStrictEqual(known.entry, entry)
      return [entry.name, same ? known : { entry, since: generation }] as const
    })
    this.#clusters.set(cluster, new Map(now))
  }

  /** Whether the registry was asked for its channel since the hub started, and answered with one. */
  knows(cluster: string): boolean {
    return this.#clusters.has(cluster)
  }

  forget(cluster: string): void {
    this.#clusters.delete(cluster)
  }

  /** The first generation of the cluster's channel that says exactly this; nothing where its channel says something else. */
  since(cluster: string, { name, namespace, settings, bundle }: WantedRelease): number | undefined {
    const carried = this.#clusters.get(cluster)?.get(name)
    if (carried === undefined) return undefined
    const { entry, since } = carried
    const same = entry.bundle.digest === bundle.digest && entry.namespace === namespace && isDeepStrictEqual(entry.settings, settings)
    return same ? since : undefined
  }
}
