import * as z from 'zod'
import { digestSchema } from './kind.ts'

const reason = z.string().min(1).max(1024)

/** Objects that are named in `status.needsConsent`, and that one consent may name. */
export const maxNeedsConsent = 64

/**
 * What a site says of a release in its own cluster, whatever the hub wants: `spec.site` of a Release, written by people and by `muster release`,
 * read by the agent, and shown in every report.
 */
export const releaseSiteSchema = z.strictObject({
  /** Nothing is applied, corrected or pruned. */
  suspend: z.strictObject({ reason, since: z.iso.datetime().optional() }).optional(),
  /** It stays at this digest, which ran here before, or is wanted now. */
  hold: z.strictObject({ digest: digestSchema, reason, since: z.iso.datetime().optional() }).optional(),
  /**
   * What may be deleted that `status.needsConsent` names: by uid, so that it counts for these very objects and no other, and, where one version
   * takes away a large share, by the digest that it has.
   */
  consent: z
    .strictObject({
      uids: z.array(z.string().min(1).max(64)).max(maxNeedsConsent).optional(),
      digest: digestSchema.optional(),
      reason,
      since: z.iso.datetime().optional(),
    })
    .optional(),
  /** Do all of it now: verify, apply, compare. A new time asks anew; `status.reconciledAt` answers with it. */
  reconcileAt: z.iso.datetime().optional(),
})
export type ReleaseSite = z.infer<typeof releaseSiteSchema>

/** What brought a version in: the channel, a hold of the site, or the agent, back from a version that did not become healthy. */
export const historyCauses = ['channel', 'site', 'rollback'] as const
export type HistoryCause = (typeof historyCauses)[number]

/** Versions that are remembered. */
export const maxHistory = 10

/** A version that was applied whole, and how it ended. */
export const releaseHistoryEntrySchema = z.object({
  digest: digestSchema,
  version: z.string(),
  repository: z.string(),
  /** Generation of the channel under which it came. */
  generation: z.int().min(0),
  by: z.enum(historyCauses),
  from: z.iso.datetime(),
  /** When another was applied whole; absent for the one that runs. */
  to: z.iso.datetime().optional(),
  /** `Healthy` once it was; until then, and for one that never was, the last reason. */
  outcome: z.string(),
})
export type ReleaseHistoryEntry = z.infer<typeof releaseHistoryEntrySchema>

/** A bundle that a placement named, and until when. */
export const placementHistoryEntrySchema = z.object({
  digest: digestSchema,
  version: z.string(),
  repository: z.string(),
  from: z.iso.datetime(),
  to: z.iso.datetime().optional(),
})
export type PlacementHistoryEntry = z.infer<typeof placementHistoryEntrySchema>
