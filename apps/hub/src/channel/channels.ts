import type { Placement } from '@muster/api'
import type { ContentSource, ContentTarget } from '@muster/oci'
import { type ChannelContent, fetchChannel, pushChannel, signChannel, TrustError, verifyChannel } from '@muster/trust'
import { HubError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { CarriedReleases } from './carried.ts'
import type { RegistryPatience } from './patience.ts'

/** What of a registry channels need: its repositories by name. */
export interface ChannelRegistry {
  repository(name: string): ContentSource & ContentTarget
}

export interface ChannelsOptions {
  readonly registry: ChannelRegistry
  readonly patience: RegistryPatience
  /** Trust roots, oldest first; clusters follow them to the last one. */
  readonly roots: readonly string[]
  /** Private keys that sign channels (PKCS#8, PEM). */
  readonly channelKeys: readonly string[]
  readonly now: () => Date
  /** What the registry holds is taken as known for this long, in milliseconds. */
  readonly recheckMs: number
  readonly log: Log
}

/** A channel in the registry that verifies from our own root. */
export interface PublishedChannel {
  readonly digest: string
  readonly content: ChannelContent
}

interface Known {
  readonly checkedAt: number
  readonly digest: string | undefined
  readonly published: PublishedChannel | undefined
}

/** The repository of a cluster's channel. */
export function channelRepository(cluster: string): string {
  return `channels/${cluster}`
}

/** The channels in the registry: what is there, and putting new ones in. */
export class Channels {
  readonly #options: ChannelsOptions
  /** What they say of each release, and since when. */
  readonly carried = new CarriedReleases()
  readonly #known = new Map<string, Known>()
  readonly #sizes = new Map<string, number>()

  constructor(options: ChannelsOptions) {
    this.#options = options
  }

  /**
   * The channel that a cluster gets now; nothing when there is none or when what is there does not verify, so that it is replaced.
   * @param fresh ask the registry even when it was asked lately
   * @throws OciError when the registry could not be asked: that is no answer, and changes nothing
   */
  async current(
    cluster: string,
    { fresh, signal }: { readonly fresh: boolean; readonly signal: AbortSignal },
  ): Promise<PublishedChannel | undefined> {
    const { registry, recheckMs, now } = this.#options
    const known = this.#known.get(cluster)
    const at = now().getTime()
    if (known && !fresh && at - known.checkedAt < recheckMs) return known.published
    const fetched = await this.#fetch(registry.repository(channelRepository(cluster)), known?.digest, cluster, signal)
    if (fetched === 'unchanged' && known) {
      this.#known.set(cluster, { ...known, checkedAt: at })
      return known.published
    }
    const published = fetched === undefined || fetched === 'unchanged' ? undefined : fetched
    this.#known.set(cluster, { checkedAt: at, digest: published?.digest, published })
    if (published === undefined) this.carried.forget(cluster)
    else this.carried.published(published.content)
    return published
  }

  /** Signs and publishes. @throws OciError, TrustError */
  async publish(content: ChannelContent, signal: AbortSignal): Promise<PublishedChannel> {
    const { registry, patience, roots, channelKeys, now } = this.#options
    const bytes = signChannel(content, channelKeys)
    // Verified as clusters will: with a key that the root does not name, nothing may get out.
    const verified = this.#verify(content.cluster, bytes)
    // Whatever comes of it, what was known before is known no more.
    this.#known.delete(content.cluster)
    const repository = registry.repository(channelRepository(content.cluster))
    const { digest } = await patience.ask(() => pushChannel(repository, roots, bytes, { signal }))
    const published = { digest, content: verified }
    this.#known.set(content.cluster, { checkedAt: now().getTime(), digest, published })
    this.carried.published(verified)
    return published
  }

  /** What the registry held when it was last asked, where it was; for when it does not answer. */
  lastKnown(cluster: string): { readonly published: PublishedChannel | undefined } | undefined {
    return this.#known.get(cluster)
  }

  /** Forgets a cluster that left. */
  forget(cluster: string): void {
    this.#known.delete(cluster)
    this.carried.forget(cluster)
  }

  /**
   * Looks up bundles that were not met before, and tells their sizes (bytes). What a published channel has needs no look.
   * @throws OciError, or HubError `BundleMissing` when the registry has no such bundle
   */
  async sizes(
    bundles: readonly Placement['spec']['bundle'][],
    published: ChannelContent | undefined,
    signal: AbortSignal,
  ): Promise<(bundle: Placement['spec']['bundle']) => number> {
    const sizes = new Map((published?.releases ?? []).map(({ bundle }) => [bundle.digest, bundle.size]))
    for (const bundle of bundles) if (!sizes.has(bundle.digest)) sizes.set(bundle.digest, await this.#size(bundle, signal))
    return ({ digest, repository, version }) => {
      const size = sizes.get(digest)
      if (size === undefined) throw missing(repository, version, digest)
      return size
    }
  }

  async #size({ repository, version, digest }: Placement['spec']['bundle'], signal: AbortSignal): Promise<number> {
    const key = `${repository}@${digest}`
    const known = this.#sizes.get(key)
    if (known !== undefined) return known
    const { registry, patience } = this.#options
    const found = await patience.ask(() => registry.repository(repository).resolve(digest, { signal }))
    if (!found) throw missing(repository, version, digest)
    // A digest's size never changes; the bound only keeps a long life from growing without end.
    if (this.#sizes.size >= 10_000) this.#sizes.clear()
    this.#sizes.set(key, found.size)
    return found.size
  }

  async #fetch(
    repository: ContentSource,
    known: string | undefined,
    cluster: string,
    signal: AbortSignal,
  ): Promise<PublishedChannel | 'unchanged' | undefined> {
    const { patience, roots, log } = this.#options
    try {
      const fetched = await patience.ask(() => fetchChannel(repository, { known, signal }))
      if (fetched === undefined || fetched === 'unchanged') return fetched
      const content = this.#verify(cluster, fetched.channelBytes)
      const complete =
        fetched.rootBytes.length === roots.length && fetched.rootBytes.every((root, at) => Buffer.from(root).toString('utf8') === roots[at])
      if (!complete) throw new TrustError('RootMalformed', 'The channel was published with other trust roots than the hub has now.')
      return { digest: fetched.digest, content }
    } catch (error) {
      if (!(error instanceof TrustError)) throw error
      log.warn({ cluster, ...errorFields(error) }, 'the channel in the registry does not hold and is replaced')
      return undefined
    }
  }

  #verify(cluster: string, channelBytes: Uint8Array): ChannelContent {
    const { roots, now } = this.#options
    return verifyChannel({ trustedRoot: roots.at(-1) ?? '', rootBytes: [], channelBytes, cluster, lastGeneration: 0, now: now() }).content
  }
}

function missing(repository: string, version: string, digest: string): HubError {
  return new HubError(
    'BundleMissing',
    `The bundle ${repository}:${version} (${digest}) is not in the registry. Publish it, or correct the placement; until then the cluster keeps what it has.`,
  )
}
