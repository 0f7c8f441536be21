import type { ChannelContent } from './channel-content.ts'

/** A release that is installed, and how many objects it manages. */
export interface InstalledRelease {
  readonly release: string
  readonly objects: number
}

export interface PruneDecision {
  /** Releases that are not in the channel and may be pruned now. */
  readonly prune: readonly string[]
  /** Releases that are not in the channel and must stay for now. */
  readonly wait: readonly string[]
  /** Why they must stay; absent when none must. */
  readonly reason?: 'PruneNeedsConsent' | 'ChannelExpired'
  /** One sentence for people. */
  readonly message?: string
  /** Share (0 to 1) of the managed objects that belongs to releases not in the channel. */
  readonly share: number
}

/**
 * Decides what may be pruned. Releases that the channel no longer has go all together or not at all: when they hold more than
 * `prune.maxShare` of the objects they wait until the channel brings consent for its own generation. Pure; the caller must only
 * come here with a channel that was verified.
 */
export function decidePrune(options: {
  readonly content: ChannelContent
  readonly installed: readonly InstalledRelease[]
  readonly expired?: boolean
}): PruneDecision {
  const { content, installed, expired = false } = options
  const wanted = new Set(content.releases.map((release) => release.name))
  const gone = installed.filter((release) => !wanted.has(release.release))
  const names = gone.map((release) => release.release)
  const all = count(installed)
  const share = all === 0 ? 0 : count(gone) / all
  if (names.length === 0) return { prune: [], wait: [], share }
  if (expired)
    return {
      prune: [],
      wait: names,
      share,
      reason: 'ChannelExpired',
      message: `The channel expired at ${content.expiresAt}: nothing is pruned until a new one comes.`,
    }
  const { maxShare, consent } = content.prune
  if (share > maxShare && consent !== content.generation) {
    const message = `Pruning ${names.join(', ')} would delete ${count(gone)} of ${all} managed objects, more than ${Math.round(maxShare * 100)} %. Annotate the Cluster in the hub with muster.dev/prune-consent=${content.generation} to allow it.`
    return { prune: [], wait: names, share, reason: 'PruneNeedsConsent', message }
  }
  return { prune: names, wait: [], share }
}

function count(releases: readonly InstalledRelease[]): number {
  return releases.reduce((sum, release) => sum + release.objects, 0)
}
