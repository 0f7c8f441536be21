import type { ReleaseHistoryEntry, ReleaseSite } from '@muster/api'
import type { ChannelRelease } from '@muster/trust'

/** By whose word nothing is done with a release. */
export interface Suspension {
  readonly by: 'site' | 'hub'
  readonly reason: string
  /** Where it was said. */
  readonly since?: string
}

/** Why nothing is to be done with a release; undefined where nothing says so. The site's word comes first. */
export function suspensionOf(site: ReleaseSite | undefined, entry: ChannelRelease | undefined): Suspension | undefined {
  if (site?.suspend !== undefined) return { by: 'site', reason: site.suspend.reason, ...sinceOf(site.suspend) }
  const reason = entry?.settings?.suspend?.reason
  return reason === undefined ? undefined : { by: 'hub', reason }
}

/** What the site makes of what the channel wants. */
export interface Obeyed {
  readonly entry: ChannelRelease
  /** At what it is held; a version that is not known never ran here. */
  readonly held?: Hold
}

export interface Hold {
  readonly digest: string
  readonly version: string | undefined
  readonly reason: string
  readonly since?: string
  /** The version that the channel asks for, where that is another. */
  readonly wanted?: string
}

function sinceOf({ since }: { readonly since?: string | undefined }): { since?: string } {
  return since === undefined ? {} : { since }
}

/**
 * The release as the site lets it be: held at a digest that ran here before, with the present settings. Another digest is not taken from it:
 * whoever may write a Release shall not bring in what no channel ever brought. Pure.
 */
export function obeySite(entry: ChannelRelease, site: ReleaseSite | undefined, history: readonly ReleaseHistoryEntry[]): Obeyed {
  if (site?.hold === undefined) return { entry }
  const { digest, reason } = site.hold
  const said = { digest, reason, ...sinceOf(site.hold) }
  if (digest === entry.bundle.digest) return { entry, held: { ...said, version: entry.bundle.version } }
  const held = { ...said, wanted: entry.bundle.version }
  const past = history.find((one) => one.digest === digest)
  if (past === undefined) return { entry, held: { ...held, version: undefined } }
  const { repository, version } = past
  return { entry: { ...entry, bundle: { ...entry.bundle, repository, version, digest } }, held: { ...held, version } }
}
