import { type ReleaseSettings, releaseSettingsSchema, trustRulesSchema } from '@muster/api'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import { readPublicKey } from '../keys/keys.ts'
import { type PolicySource, policyLevels } from '../policy/compile.ts'
import type { Publisher } from '../signature/sigstore-bundle.ts'

/** A bundle that a cluster shall run, under the name of its release. */
export interface ChannelRelease {
  readonly name: string
  readonly bundle: {
    /** Repository in the fleet's registry, such as `bundles/podinfo`. */
    readonly repository: string
    readonly version: string
    /** Digest and size (bytes) of the bundle's index. */
    readonly digest: string
    readonly size: number
  }
  /** Namespace for objects that name none. */
  readonly namespace?: string | undefined
  /** How it is brought here: customized, after what, corrected or only watched, as whom. Absent where nothing is said. */
  readonly settings?: ReleaseSettings | undefined
}

/** The desired state of one cluster. */
export interface ChannelContent {
  readonly cluster: string
  /** Each channel has a higher one than the last. */
  readonly generation: number
  /** ISO 8601. */
  readonly issuedAt: string
  /** ISO 8601, to the second. From then on nothing new is taken from it; what runs stays. */
  readonly expiresAt: string
  /** Said when, and only when, nothing shall run: an empty list by itself is never meant. */
  readonly empty?: true | undefined
  /** In order of names. */
  readonly releases: readonly ChannelRelease[]
  /** Whose signatures on bundles count. */
  readonly publishers: readonly Publisher[]
  /** What must hold of bundles and images beside that, in order of levels and names. Absent where nothing does. */
  readonly policies?: readonly PolicySource[] | undefined
  /** The cluster makes a new sealing key where its present one is older than this. ISO 8601. */
  readonly newSealingKeyAfter?: string | undefined
  readonly prune: {
    /** Largest share (0 to 1, in steps of 0.0001) of the managed objects that may be pruned without consent. */
    readonly maxShare: number
    /** The generation for which a larger prune is allowed. */
    readonly consent?: number | undefined
  }
}

const maxReleases = 5000
const name = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/)
const generation = z.int().min(1)
/** TUF's canonical JSON has no fractions: shares are written in ten-thousandths. */
const shareUnit = 10_000

/** What stands in TUF's `custom` field of a target: a release is a target named after it. */
export const targetSchema = z.strictObject({
  length: z.int().min(1),
  hashes: z.strictObject({ sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  custom: z.strictObject({
    repository: z.string().min(1).max(255),
    version: z.string().min(1).max(128),
    namespace: name.optional(),
    /** JSON text of the settings: TUF's canonical JSON has no fractions, and values of parameters may be any. */
    settings: z.string().min(2).max(1_048_576).optional(),
  }),
})
type Target = z.infer<typeof targetSchema>

export const targetsSchema = z
  .record(name, targetSchema)
  .refine((targets) => Object.keys(targets).length <= maxReleases, 'too many releases')

/** Our own part of the metadata, beside what TUF defines. */
export const musterSchema = z.strictObject({
  cluster: name,
  issuedAt: z.iso.datetime(),
  empty: z.literal(true).optional(),
  publishers: z.array(z.strictObject({ name: z.string().min(1).max(253), publicKey: z.string().max(4096) })).max(256),
  policies: z
    .array(z.strictObject({ name: z.string().min(1).max(253), level: z.enum(policyLevels), rules: trustRulesSchema }))
    .min(1)
    .max(64)
    .optional(),
  newSealingKeyAfter: z.iso.datetime().optional(),
  prune: z.strictObject({ maxShare: z.int().min(0).max(shareUnit), consent: generation.optional() }),
})
type Muster = z.infer<typeof musterSchema>

export function toTargets(content: ChannelContent): Record<string, Target> {
  const targets = content.releases.map((release): [string, Target] => [
    release.name,
    {
      length: release.bundle.size,
      hashes: { sha256: release.bundle.digest.replace(/^sha256:/, '') },
      custom: {
        repository: release.bundle.repository,
        version: release.bundle.version,
        ...(release.namespace === undefined ? {} : { namespace: release.namespace }),
        ...(release.settings === undefined ? {} : { settings: JSON.stringify(release.settings) }),
      },
    },
  ])
  if (new Set(targets.map(([key]) => key)).size !== targets.length)
    throw new TrustError(
      'ChannelMalformed',
      `The channel of ${content.cluster} has two releases of one name. Names of releases are unique.`,
    )
  return Object.fromEntries(targets)
}

export function toMuster(content: ChannelContent): Muster {
  const { maxShare, consent } = content.prune
  return {
    cluster: content.cluster,
    issuedAt: content.issuedAt,
    ...(content.empty ? { empty: true } : {}),
    publishers: content.publishers.map((publisher) => ({ name: publisher.name, publicKey: publisher.publicKey })),
    ...(content.policies?.length ? { policies: content.policies.map(({ name, level, rules }) => ({ name, level, rules })) } : {}),
    ...(content.newSealingKeyAfter === undefined ? {} : { newSealingKeyAfter: content.newSealingKeyAfter }),
    prune: { maxShare: Math.round(maxShare * shareUnit), ...(consent === undefined ? {} : { consent }) },
  }
}

/** Puts the content together again, and checks what holds between its parts. @throws TrustError or zod's error */
export function toContent(version: number, expires: string, targets: Record<string, Target>, muster: Muster): ChannelContent {
  const releases = Object.entries(targets)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, target]): ChannelRelease => {
      const { repository, version, namespace, settings } = target.custom
      return {
        name: key,
        bundle: { repository, version, digest: `sha256:${target.hashes.sha256}`, size: target.length },
        ...(namespace === undefined ? {} : { namespace }),
        ...(settings === undefined ? {} : { settings: releaseSettingsSchema.parse(JSON.parse(settings)) }),
      }
    })
  const { cluster, issuedAt, empty, publishers, policies, newSealingKeyAfter, prune } = muster
  if (empty ? releases.length > 0 : releases.length === 0)
    throw new TrustError(
      'ChannelMalformed',
      `The channel of ${cluster} has ${releases.length} releases and ${empty ? 'says' : 'does not say'} that it is empty.`,
    )
  const missing = releases
    .flatMap((release) => release.settings?.dependsOn ?? [])
    .find((one) => (one.cluster ?? muster.cluster) === muster.cluster && !Object.hasOwn(targets, one.release))
  if (missing !== undefined)
    throw new TrustError('ChannelMalformed', `A release in the channel of ${cluster} depends on ${missing.release}, which is not in it.`)
  for (const publisher of publishers) readPublicKey(publisher.publicKey)
  return {
    cluster,
    generation: version,
    issuedAt,
    expiresAt: expires,
    ...(empty ? { empty } : {}),
    releases,
    publishers,
    ...(policies === undefined ? {} : { policies }),
    ...(newSealingKeyAfter === undefined ? {} : { newSealingKeyAfter }),
    prune: { maxShare: prune.maxShare / shareUnit, ...(prune.consent === undefined ? {} : { consent: prune.consent }) },
  }
}
