import * as z from 'zod'
import { breakGlassRecordSchema } from './break-glass.ts'
import { type apiVersion, conditionSchema, digestSchema, type KindDefinition, type ObjectMeta } from './kind.ts'
import { hookRecordSchema } from './release-hooks.ts'
import { goodVersionSchema, rollbackSchema, trialSchema } from './release-rollback.ts'
import { driftModes, placementSettings } from './release-settings.ts'
import { maxHistory, maxNeedsConsent, releaseHistoryEntrySchema, releaseSiteSchema } from './release-site.ts'
import { customizationReportSchema, maxCustomizations } from './site-overlay.ts'

/** An object that a release made: what prune may delete, and nothing else. */
export const inventoryEntrySchema = z.object({
  apiVersion: z.string(),
  kind: z.string(),
  namespace: z.string().optional(),
  name: z.string(),
  uid: z.string().optional(),
  /** Which of its fields the agent owned after the last apply, as a hash: after a restart it says whether the object is as it was applied. */
  ownership: z.string().optional(),
  /** In which wave it was applied, where that is not 0: prune goes the other way. */
  wave: z.int().optional(),
  /** The release that made it and whose label it bears, where that has gone and left it to this one, which has objects in it. */
  madeBy: z.string().optional(),
})
export type InventoryEntry = z.infer<typeof inventoryEntrySchema>

const differenceSchema = z.object({ object: z.string(), paths: z.array(z.string()).max(8), manager: z.string().optional() })

/** Another writes the same fields again and again, so that corrections are made ever more slowly. */
export const fightSchema = differenceSchema.extend({ times: z.int().min(1), since: z.iso.datetime() })
/** A difference that is meant, who answers for it, and until when. */
export const leftToOthersSchema = z.object({
  /** `ConfigMap shop/settings data["log.level"]` */
  what: z.string().max(512),
  owner: z.string().max(253),
  until: z.iso.datetime().optional(),
})
export type LeftToOthers = z.infer<typeof leftToOthersSchema>
/** How many of them are told. */
export const maxLeftToOthers = 8

/** What must come first, before a release goes on. */
export const waitingForSchema = z.object({
  what: z.enum(['Wave', 'Hook', 'Dependency']),
  /** Of objects (`Deployment shop/db`, `Job shop/migrate`), or of releases (`db`, `alpha/db` where it is another cluster's); the first 16. */
  names: z.array(z.string().max(512)).max(16),
  since: z.iso.datetime(),
})
export type WaitingFor = z.infer<typeof waitingForSchema>

const spec = z.object({
  bundle: z.object({ repository: z.string(), version: z.string(), digest: digestSchema }),
  namespace: z.string().optional(),
  /** Generation of the channel that asked for it. The first of all releases bears that of the newest channel. */
  channelGeneration: z.int().min(0),
  /** Stands for the bundle with its settings as it is being applied, or was: written before any object is. */
  content: z.string().optional(),
  /**
   * Objects that there may be, written before they are made: what a crash leaves is known to prune. Counts until the status says that
   * this content was applied.
   */
  planned: z
    .array(
      z.object({
        apiVersion: z.string(),
        kind: z.string(),
        namespace: z.string().optional(),
        /** Where it is not 0: what a crash leaves goes in the order in which it would have gone. */
        wave: z.int().optional(),
        names: z.array(z.string()).max(20_000),
      }),
    )
    .max(4_096)
    .optional(),
  /** How its objects may go, as its placement says: kept here, since the channel does not say it any more when they are to. */
  prune: placementSettings.prune,
  /** What the site says, beside the agent, which owns all else. */
  site: releaseSiteSchema.optional(),
})

const status = z.object({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
  /** Digest that was last applied whole. What runs, when a newer one is refused. */
  appliedDigest: digestSchema.optional(),
  appliedVersion: z.string().optional(),
  /** The `spec.content` that was last applied whole; not there while another is being applied. */
  appliedContent: z.string().optional(),
  signedBy: z.array(z.string()).optional(),
  /** Versions that were applied whole, the newest first. */
  history: z.array(releaseHistoryEntrySchema).max(maxHistory).optional(),
  /** What waits to be deleted until somebody consents (`muster release consent`). */
  needsConsent: z
    .object({
      /** The version that takes away a large share of the objects. */
      digest: digestSchema.optional(),
      /** How many objects wait, and the first of them. */
      count: z.int().min(1),
      objects: z.array(inventoryEntrySchema).max(maxNeedsConsent),
    })
    .optional(),
  /** The last `spec.site.reconcileAt` that was done. */
  reconciledAt: z.iso.datetime().optional(),
  /** What is in force over the bundle, in order of precedence. */
  customizations: z.array(customizationReportSchema).max(maxCustomizations).optional(),
  inventory: z.array(inventoryEntrySchema).max(20_000).optional(),
  trial: trialSchema.optional(),
  lastGood: goodVersionSchema.optional(),
  rollback: rollbackSchema.optional(),
  drift: z
    .object({
      corrected: z.int().min(0),
      lastAt: z.iso.datetime().optional(),
      /** Differences that were left as they are. */
      detected: z.int().min(0).optional(),
      lastObject: z.string().optional(),
      lastManager: z.string().optional(),
      /** Field managers that changed what is signed, and how often: the ten most frequent. */
      authors: z
        .array(z.object({ manager: z.string(), count: z.int().min(1) }))
        .max(10)
        .optional(),
      mode: z.enum(driftModes).optional(),
      /** What the placement leaves to others. */
      left: z.array(leftToOthersSchema).max(maxLeftToOthers).optional(),
      /** What differs now. */
      present: z.array(differenceSchema).max(10).optional(),
      fights: z.array(fightSchema).max(10).optional(),
      /** What is left to others, as that is meant. Paths are JSON pointers. */
      tolerated: z.array(differenceSchema).max(10).optional(),
    })
    .optional(),
  waitingFor: waitingForSchema.optional(),
  /** The last time that the write guard was opened for it. */
  breakGlass: breakGlassRecordSchema.optional(),
  hooks: hookRecordSchema.optional(),
})

/** Kind `Release`: a bundle installed in this cluster. Made by the agent, read by people. */
export interface Release {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'Release'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** Reasons of a `Release`'s `Ready` condition: a closed set, shown in `muster status` and documented in docs/kinds/release.md. */
export const releaseReasons = {
  healthy: 'Healthy',
  progressing: 'Progressing',
  degraded: 'Degraded',
  applyFailed: 'ApplyFailed',
  /** A job that is to run before or after a version has failed; the message says what it wrote last. */
  hookFailed: 'HookFailed',
  /** Not healthy within its progress deadline; what happens then is in the message. */
  progressDeadlineExceeded: 'ProgressDeadlineExceeded',
  /** The version that the channel wants failed, and the last one that was healthy here runs again. */
  rolledBack: 'RolledBack',
  /** No signature of the bundle was found. */
  signatureMissing: 'SignatureMissing',
  /** There are signatures, but none by a publisher that the channel names. */
  signatureWrongKey: 'SignatureWrongKey',
  /** A signature is there in a form that is not understood or whose content does not name this bundle. */
  signatureInvalid: 'SignatureInvalid',
  /** An attestation that a policy asks for hangs on neither the bundle nor the image that the message names. */
  attestationMissing: 'AttestationMissing',
  /** Signed with a certificate that holds, for an identity that no policy allows. */
  identityNotAllowed: 'IdentityNotAllowed',
  /** A certificate, or what vouches for it, was outside its time. */
  expired: 'Expired',
  /** An attestation is older than a policy allows. */
  tooOld: 'TooOld',
  /** What an attestation says does not meet a condition of a policy. */
  predicateRefused: 'PredicateRefused',
  /** A policy cannot be used as it is written, so nothing can be verified by it. */
  policyInvalid: 'PolicyInvalid',
  /** Bytes that came from the registry do not match their digest. */
  dataDamaged: 'DataDamaged',
  /** A parameter or an overlay does not fit the bundle, or a site's overlay goes beyond what it may: what runs is kept. */
  customizationInvalid: 'CustomizationInvalid',
  /** The bundle does not follow the format. */
  bundleInvalid: 'BundleInvalid',
  /** The list of its objects is larger than what the cluster stores in one object: nothing of the version is applied. */
  tooLarge: 'TooLarge',
  registryUnreachable: 'RegistryUnreachable',
  /** The channel that asks for it has expired: what runs is kept, drift corrected, and nothing new is taken. */
  stale: 'Stale',
  /** Healthy, but another controller writes what is signed again and again. */
  fighting: 'Fighting',
  /** The tenant's grants do not have an object of the bundle; the message names it. */
  notGranted: 'NotGranted',
  /** A grant of the tenant has ended: what runs is kept as signed, and nothing new is taken. */
  grantEnded: 'GrantEnded',
  /** The site or the hub has said that nothing is to be done with it. */
  suspended: 'Suspended',
  /** Healthy, at a version at which the site holds it, whatever the channel asks for. */
  held: 'Held',
  /** The site holds it at a digest that never ran here. */
  holdUnknown: 'HoldUnknown',
  /** A release that it depends on is not ready, or nobody knows: what runs is kept meanwhile. */
  dependencyNotReady: 'DependencyNotReady',
  /** It depends on itself by way of others, in this cluster or across clusters. */
  dependencyCycle: 'DependencyCycle',
  pruning: 'Pruning',
  /** The prune is larger than the share that the cluster allows and waits for consent. */
  pruneNeedsConsent: 'PruneNeedsConsent',
  /** With what is to be deleted goes what nobody could bring back, such as data: it waits for consent. */
  protectedNeedsConsent: 'ProtectedNeedsConsent',
} as const
export type ReleaseReason = (typeof releaseReasons)[keyof typeof releaseReasons]

export const releaseKind: KindDefinition = {
  kind: 'Release',
  plural: 'releases',
  singular: 'release',
  shortNames: ['mrel'],
  scope: 'Cluster',
  description: 'A bundle installed in this cluster, with the inventory of what it made.',
  spec,
  status,
  columns: [
    { name: 'Version', type: 'string', jsonPath: '.spec.bundle.version' },
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Corrected', type: 'integer', jsonPath: '.status.drift.corrected' },
  ],
}
