import { isDeepStrictEqual } from 'node:util'
import { type Cluster, type Placement, selects, type Tenant } from '@muster/api'
import type { ChannelContent, ChannelRelease, PolicySource, Publisher } from '@muster/trust'
import { settingsOf } from './release-settings.ts'

/**
 * Annotation of a `Cluster` that allows a large prune. Its value is the generation of the channel whose prune waits; it counts
 * for what that channel asks and for nothing that comes later.
 */
export const pruneConsentAnnotation = 'muster.dev/prune-consent'

const defaultMaxShare = 0.5

export interface CompileOptions {
  readonly cluster: Cluster
  /** All placements there are, completely read. */
  readonly placements: readonly Placement[]
  readonly publishers: readonly Publisher[]
  /** Policies that hold for this cluster, in order. */
  readonly policies?: readonly PolicySource[]
  /** All tenants there are, completely read. */
  readonly tenants?: readonly Tenant[]
  /** What the registry holds now, verified; nothing when there is none, or none that verifies. */
  readonly previous: ChannelContent | undefined
  readonly now: Date
  /** How long a channel is valid, in milliseconds. */
  readonly validityMs: number
  /** Sizes of bundles in bytes, by digest. */
  readonly sizeOf: (bundle: Placement['spec']['bundle']) => number
}

export interface Compiled {
  /** The channel to publish, or `previous` when that still holds. */
  readonly content: ChannelContent
  /** Why it is to be published; absent when nothing is to be written. */
  readonly publish?: 'first' | 'changed' | 'behind' | 'ageing'
}

/** Compiles what a cluster shall run into its channel, and says whether it must be published. Pure. */
export function compileChannel(options: CompileOptions): Compiled {
  const { cluster, previous, now, validityMs } = options
  const wanted = desired(options)
  const seen = Math.max(cluster.status?.channel?.generation ?? 0, cluster.status?.report?.generation ?? 0)
  const generation = Math.max(previous?.generation ?? 0, seen) + 1
  const consented = consents(cluster, previous, wanted.releases)
  const content: ChannelContent = {
    ...wanted,
    generation,
    issuedAt: now.toISOString(),
    expiresAt: `${new Date(now.getTime() + validityMs).toISOString().slice(0, 19)}Z`,
    prune: consented ? { ...wanted.prune, consent: generation } : wanted.prune,
  }
  if (!previous) return { content, publish: 'first' }
  if (changed(previous, content)) return { content, publish: 'changed' }
  // The registry was put back to an older state: clusters that saw the newer one refuse what it holds.
  if (previous.generation < seen) return { content, publish: 'behind' }
  if (renewIn(previous, now, validityMs) <= 0) return { content, publish: 'ageing' }
  return { content: previous }
}

/** Milliseconds until a channel must be published again for its age: when half of its validity is left. */
export function renewIn(content: ChannelContent, now: Date, validityMs: number): number {
  return Date.parse(content.expiresAt) - validityMs / 2 - now.getTime()
}

/** The placements that make up a cluster's channel, in order of names. */
export function placementsOf(cluster: Cluster, placements: readonly Placement[]): Placement[] {
  return placements.filter((placement) => selects(placement, cluster)).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
}

function desired({
  cluster,
  placements,
  publishers,
  policies = [],
  tenants = [],
  sizeOf,
}: CompileOptions): Omit<ChannelContent, 'generation' | 'issuedAt' | 'expiresAt'> {
  const releases = placementsOf(cluster, placements).map((placement): ChannelRelease => {
    const { bundle, namespace } = placement.spec
    const settings = settingsOf(placement, cluster, tenants)
    return {
      name: placement.metadata.name,
      bundle: { repository: bundle.repository, version: bundle.version, digest: bundle.digest, size: sizeOf(bundle) },
      ...(namespace === undefined ? {} : { namespace }),
      ...(settings === undefined ? {} : { settings }),
    }
  })
  return {
    cluster: cluster.metadata.name,
    ...(releases.length === 0 ? { empty: true } : {}),
    releases,
    publishers: publishers.map(({ name, publicKey }) => ({ name, publicKey })),
    ...(policies.length === 0 ? {} : { policies }),
    ...(cluster.spec.sealing?.newKeyAfter === undefined ? {} : { newSealingKeyAfter: cluster.spec.sealing.newKeyAfter }),
    // A cluster that is to leave is emptied: whoever said so has consented.
    // Shares are published in ten-thousandths: rounded here, so that what comes back is not taken for a change.
    prune: {
      maxShare: cluster.spec.leaving === true ? 1 : Math.round((cluster.spec.prune?.maxShare ?? defaultMaxShare) * 10_000) / 10_000,
    },
  }
}

/**
 * Consent names the generation that a person looked at. It passes on to the generations that follow while they ask for the same
 * releases, so that a cluster which misses one still gets it, and ends when the releases are others.
 */
function consents(cluster: Cluster, previous: ChannelContent | undefined, releases: readonly ChannelRelease[]): boolean {
  const given = Number(cluster.metadata.annotations?.[pruneConsentAnnotation])
  if (!previous || !Number.isSafeInteger(given) || given < 1) return false
  const same = isDeepStrictEqual(
    previous.releases.map((release) => release.name),
    releases.map((release) => release.name),
  )
  return same && (given === previous.generation || previous.prune.consent !== undefined)
}

function changed(previous: ChannelContent, next: ChannelContent): boolean {
  const substance = ({ cluster, empty, releases, publishers, policies, newSealingKeyAfter, prune }: ChannelContent) => ({
    cluster,
    empty: empty ?? false,
    releases,
    publishers,
    policies: policies ?? [],
    newSealingKeyAfter,
    maxShare: prune.maxShare,
    consent: prune.consent !== undefined,
  })
  return !isDeepStrictEqual(substance(previous), substance(next))
}
