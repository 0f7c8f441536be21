import * as z from 'zod'
import { type apiVersion, conditionSchema, digestSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
import { fightSchema, leftToOthersSchema, maxLeftToOthers, waitingForSchema } from './release.ts'
import { driftModes } from './release-settings.ts'
import { customizationReportSchema, maxCustomizations } from './site-overlay.ts'

/** What the agent last reported of one release. The hub copies it, and adds nothing that it does not know. */
export const releaseReportSchema = z.object({
  name: z.string(),
  version: z.string(),
  digest: digestSchema,
  /** Names of the publishers whose signatures were verified in the cluster. */
  signedBy: z.array(z.string()),
  ready: z.boolean(),
  /** Why it is ready or not: a reason of `Release`, e.g. `Healthy`, `Progressing`, `SignatureWrongKey`. */
  reason: z.string(),
  message: z.string().max(4096),
  /** Corrections of drift since the agent first applied the release. */
  driftCorrected: z.int().min(0),
  /** What is done about drift, how many differences were told and left, and what the placement leaves to others. */
  drift: z
    .object({
      mode: z.enum(driftModes),
      detected: z.int().min(0).optional(),
      left: z.array(leftToOthersSchema).max(maxLeftToOthers).optional(),
    })
    .optional(),
  /** Since when it is ready, or is not. */
  since: z.iso.datetime().optional(),
  /** What is in force over the bundle, in order of precedence: what the site itself made different among it. */
  customizations: z.array(customizationReportSchema).max(maxCustomizations).optional(),
  /** True while an owned field differs from what was signed. */
  drifted: z.boolean(),
  /** Who else writes what is signed again and again. */
  fights: z.array(fightSchema).max(5).optional(),
  /** Nothing is done with it, by whose word and why. */
  suspended: z.object({ by: z.enum(['site', 'hub']), reason: z.string(), since: z.iso.datetime().optional() }).optional(),
  /** The site keeps it at this digest, whatever the hub wants. */
  held: z
    .object({
      digest: digestSchema,
      version: z.string(),
      reason: z.string(),
      since: z.iso.datetime().optional(),
      /** The version that the channel asks for, where that is another. */
      wanted: z.string().optional(),
    })
    .optional(),
  /** The version that the channel wants and that failed: the last good one was taken back for it. */
  rollback: z
    .object({
      version: z.string(),
      digest: digestSchema,
      at: z.iso.datetime(),
      /** What runs again. */
      to: z.object({ version: z.string(), digest: digestSchema }),
      /** Why it was not healthy: a reason of `Release`, and its message. */
      reason: z.string(),
      message: z.string().max(512),
    })
    .optional(),
  waitingFor: waitingForSchema.optional(),
  /** Others may write its objects until then, and drift is only told: by whose word and why. */
  breakGlass: z.object({ by: z.string().max(253), reason: z.string().max(1024), until: z.iso.datetime() }).optional(),
})
export type ReleaseReport = z.infer<typeof releaseReportSchema>

export const nodeReportSchema = z.object({ name: z.string(), ready: z.boolean(), version: z.string() })
export type NodeReport = z.infer<typeof nodeReportSchema>

const keyId = z.string().regex(/^[A-Za-z0-9_-]{43}$/)

/** A public key (JWK, ECDH on P-256) that values for a cluster are sealed to. `kid` is its thumbprint (RFC 7638). */
export const sealingKeySchema = z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: keyId, y: keyId, kid: keyId })

/** The sealing keys of a cluster. */
const sealingSchema = z.object({
  /** What is sealed now is sealed to this one. */
  key: sealingKeySchema,
  createdAt: z.iso.datetime(),
  /** Keys that still unseal what was sealed to them before. */
  retired: z.array(keyId).max(64).optional(),
  /** Values that were sealed to a retired key, sealed anew to the present one by the cluster itself. `was`: digest of the old value. */
  resealed: z
    .array(z.object({ release: z.string().max(63), parameter: z.string().max(128), was: digestSchema, value: z.string().max(131_072) }))
    .max(256)
    .optional(),
})
export type ClusterSealing = z.infer<typeof sealingSchema>

/** What an agent sends to the hub (`POST /v1/clusters/{name}/report`). */
export const clusterReportSchema = z.object({
  cluster: z.string(),
  /** Generation of the newest channel that the agent accepted; 0 before the first. */
  generation: z.int().min(0),
  channelDigest: digestSchema.optional(),
  /** When what is reported was observed, by the agent's clock. */
  observedAt: z.iso.datetime(),
  agentVersion: z.string(),
  kubernetesVersion: z.string(),
  nodes: z.array(nodeReportSchema).max(5000),
  releases: z.array(releaseReportSchema).max(5000),
  sealing: sealingSchema.optional(),
  /** Since when, and why, the agent could not read its channel. Absent while it can. */
  channelUnreadable: z.object({ since: z.iso.datetime(), reason: z.string(), message: z.string().max(4096) }).optional(),
})
export type ClusterReport = z.infer<typeof clusterReportSchema>

/** What an agent says instead of a report that would say the same again. */
export const heartbeatSchema = z.object({
  cluster: z.string(),
  /** As in a report. */
  observedAt: z.iso.datetime(),
  /** `observedAt` of the report that still holds. */
  holds: z.iso.datetime(),
})
export type Heartbeat = z.infer<typeof heartbeatSchema>

/** Why a release of another cluster is ready or not, as far as the hub knows. */
const dependencyReasons = ['Ready', 'NotReady', 'Unknown', 'NotPlaced', 'UnknownCluster', 'DependencyCycle'] as const

/** How a release of another cluster stands, on which one of this cluster depends. */
export const dependencyStateSchema = z.object({
  cluster: nameSchema,
  release: nameSchema,
  /** It is, lately, in the version and with the settings that are placed there. */
  ready: z.boolean(),
  reason: z.enum(dependencyReasons),
  message: z.string().max(4096),
  /** What is ready. */
  digest: digestSchema.optional(),
  /** When the hub last heard of that cluster, and how long ago that was by the hub's clock. */
  observedAt: z.iso.datetime().optional(),
  ageSeconds: z.int().min(0).optional(),
})
export type DependencyState = z.infer<typeof dependencyStateSchema>

/** What the hub answers to a report or a heartbeat. */
export const reportAnswerSchema = z.object({ dependencies: z.array(dependencyStateSchema).max(500).optional() })
export type ReportAnswer = z.infer<typeof reportAnswerSchema>

const spec = z.object({
  /** Names of labels select clusters in placements; they live in `metadata.labels`. */
  displayName: z.string().max(253).optional(),
  prune: z
    .object({
      /** Largest share (0 to 1) of a cluster's managed objects that one channel may prune without consent. */
      maxShare: z.number().min(0).max(1).default(0.5),
    })
    .optional(),
  /** Which identity is valid: certificates that name another are refused. Written by each join; a change revokes what came before. */
  identity: z.string().min(1).max(64).optional(),
  sealing: z
    .object({
      /** The cluster makes a new sealing key where its present one is older than this. */
      newKeyAfter: z.iso.datetime().optional(),
    })
    .optional(),
  /** The cluster is to leave: nothing is placed on it any more, and what runs there is pruned without asking for consent. */
  leaving: z.boolean().optional(),
})

const status = z.object({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
  /** Generation and digest of the channel that the hub last published for the cluster. */
  channel: z.object({ generation: z.int(), digest: digestSchema, publishedAt: z.iso.datetime() }).optional(),
  /** The newest report, as received, and when it came. */
  report: clusterReportSchema.optional(),
  reportedAt: z.iso.datetime().optional(),
  joinedAt: z.iso.datetime().optional(),
  /** Hash (SHA-256, hex) of the join token that was used last, so that it is refused as used and not as unknown. */
  usedToken: z.string().max(64).optional(),
})

/** Kind `Cluster`: a member of the fleet, in the hub's API. */
export interface Cluster {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'Cluster'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** Reasons of a `Cluster`'s `Ready` condition. */
export const clusterReasons = {
  /** No agent has joined under this name yet. */
  waitingToJoin: 'WaitingToJoin',
  /** The agent reports, its nodes are ready and it holds the newest channel. */
  ready: 'Ready',
  /** The agent reports that a node or a release is not ready. */
  notReady: 'NotReady',
  /** No report for longer than the time limit: neither ready nor failed, unknown. */
  silent: 'Silent',
  /** The channel that the agent holds has expired: what runs goes on, nothing new is taken. */
  stale: 'Stale',
  /** The channel could not be compiled or published. */
  channelFailed: 'ChannelFailed',
} as const

export const clusterKind: KindDefinition = {
  kind: 'Cluster',
  plural: 'clusters',
  singular: 'cluster',
  shortNames: ['mcl'],
  scope: 'Cluster',
  description: 'A member of the fleet. Its agent pulls the channel that the hub compiles for it.',
  spec,
  status,
  columns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
    { name: 'Generation', type: 'integer', jsonPath: '.status.channel.generation' },
    { name: 'Reported', type: 'date', jsonPath: '.status.reportedAt' },
  ],
}
