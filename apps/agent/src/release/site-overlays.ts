import { releaseReasons } from '@muster/api'
import type { ChannelRelease } from '@muster/trust'
import { codeOf, messageOf } from '../error.ts'
import type { SiteLayer } from '../site-overlays.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import type { Outcome } from './runtime.ts'

/** Looked at again so soon, in milliseconds. */
const againMs = 500

/** What the site makes different must be known: without it the release would be brought to what nobody at the site wants. */
export const readSite: Step = async (_services, { site }) =>
  site !== undefined
    ? undefined
    : {
        ready: false,
        reason: releaseReasons.progressing,
        message: "The site's own overlays (SiteOverlay) were not read yet; nothing is taken before.",
        requeueAfterMs: againMs,
        reading: true,
      }

/** The channel's entry with what the site makes different among its settings, so that other overlays are another target. */
export function withSite(entry: ChannelRelease, site: readonly SiteLayer[] | undefined): ChannelRelease
export function withSite(entry: ChannelRelease | undefined, site: readonly SiteLayer[] | undefined): ChannelRelease | undefined
export function withSite(entry: ChannelRelease | undefined, site: readonly SiteLayer[] | undefined): ChannelRelease | undefined {
  if (entry === undefined || site === undefined || site.length === 0) return entry
  const settings = { ...entry.settings, site }
  return { ...entry, settings }
}

/** Says on each overlay what became of it. That it cannot be said holds up nothing. */
export async function tellSite(
  { siteOverlays, logger }: ReleaseServices,
  { entry, signal }: ReleaseContext,
  outcome: Outcome,
): Promise<void> {
  const refused = outcome.reason === releaseReasons.customizationInvalid ? outcome.message : undefined
  try {
    await siteOverlays.tell(entry.name, refused, signal)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    logger.warn({ release: entry.name, code: codeOf(error), reason: messageOf(error) }, 'what became of a SiteOverlay could not be written')
  }
}
