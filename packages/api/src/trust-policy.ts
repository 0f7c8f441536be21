import * as z from 'zod'
import { type apiVersion, conditionSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'

const pem = z.string().min(1).max(16_384)
const pems = z.array(pem).min(1).max(64)

const identityText = z.string().min(1).max(1024).optional()

/**
 * Which identities of certificates count. What is given must hold; a rule gives at least a subject. Patterns are regular expressions
 * (RE2) over the whole text.
 */
export const identityRuleSchema = z.strictObject({
  /** Who vouches for the identity: the OIDC issuer of a Sigstore certificate, or the distinguished name of the issuing CA. */
  issuer: identityText,
  issuerPattern: identityText,
  /** The identity itself: an e-mail address, a URI or a DNS name. */
  subject: identityText,
  subjectPattern: identityText,
})

const identities = z.array(identityRuleSchema).min(1).max(64)

/** Whose signatures count, under a name that rules use: exactly one of `key`, `x509` and `sigstore`. */
export const authoritySchema = z.strictObject({
  name: nameSchema,
  /** Public keys (SPKI, PEM): more than one while they change, or for a group. */
  key: z.strictObject({ publicKeys: pems }).optional(),
  /** An own PKI: its roots (PEM), and which identities its certificates may have. */
  x509: z
    .strictObject({
      roots: pems,
      intermediates: z.array(pem).max(64).optional(),
      identities,
      /** Roots of the timestamp authorities that are believed (PEM): with their stamp a certificate need not be valid any more. */
      timestampAuthorities: z.array(pem).max(64).optional(),
      requireTimestamp: z.boolean().optional(),
    })
    .optional(),
  /** Fulcio, Rekor and time stamps, public or private. */
  sigstore: z
    .strictObject({
      /** The text of a `trusted_root.json`. */
      trustedRoot: z.string().min(2).max(262_144),
      identities,
      tlogThreshold: z.int().min(0).max(8).optional(),
      timestampThreshold: z.int().min(0).max(8).optional(),
      sctThreshold: z.int().min(0).max(8).optional(),
    })
    .optional(),
})

const authorities = z.array(nameSchema).min(1).max(64)
const threshold = z.int().min(1).max(64).optional()

const signaturesDemand = z.strictObject({
  /** Names of authorities: this policy's, or those of a level above it. */
  authorities,
  /** How many of the authorities must have signed; 1 where nothing is said. */
  threshold,
})

const attestationDemand = z.strictObject({
  predicateType: z.string().min(1).max(1024),
  authorities,
  threshold,
  /** How old it may be: a number and `m`, `h` or `d`. */
  maxAge: z
    .string()
    .regex(/^[1-9][0-9]{0,5}[mhd]$/, 'must be a number and m, h or d, such as 24h')
    .optional(),
  /** Where in the predicate its time is, as a path such as `metadata.scanFinishedOn`; else the known place of its type, else a trusted time stamp. */
  timeField: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}(\.[A-Za-z_][A-Za-z0-9_]{0,63}){0,7}$/, 'must be a path such as metadata.finishedOn')
    .optional(),
  /** CEL: each must be true of `predicate`. */
  where: z.array(z.string().min(1).max(4096)).max(16).optional(),
})

const pattern = z.string().min(1).max(512)

export const trustRuleSchema = z.strictObject({
  name: nameSchema,
  /** What it is about, by name without tag or digest. `*` stands for any part of a path's segment, `**` for any part of a name. */
  match: z.strictObject({
    /** Repositories of bundles, such as `bundles/podinfo`. */
    bundles: z.array(pattern).max(64).optional(),
    /** Images by the name that manifests give them, such as `registry.example/team/**`. */
    images: z.array(pattern).max(64).optional(),
  }),
  /** Each must be met. */
  signatures: z.array(signaturesDemand).max(16).optional(),
  /** Each must be met. */
  attestations: z.array(attestationDemand).max(32).optional(),
})

/** Authorities and rules: what `TrustPolicy` and `EnclavePolicy` have in common. */
export const trustRulesSchema = z.strictObject({
  authorities: z.array(authoritySchema).max(64).optional(),
  rules: z.array(trustRuleSchema).min(1).max(128),
})

const spec = trustRulesSchema.extend({
  /**
   * Clusters that it holds for: all of them, where nothing is said (the organization's policy); those with labels (an enclave's);
   * those named (a cluster's).
   */
  clusters: z
    .strictObject({
      names: z.array(nameSchema).min(1).max(5000).optional(),
      matchLabels: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
})
export const trustPolicySpecSchema = spec

const status = z.strictObject({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
})

export type IdentityRuleSpec = z.infer<typeof identityRuleSchema>
export type AuthoritySpec = z.infer<typeof authoritySchema>
export type TrustRule = z.infer<typeof trustRuleSchema>
export type TrustRules = z.infer<typeof trustRulesSchema>

/** Kind `TrustPolicy`: who must have signed and attested what runs, in the hub's API. */
export interface TrustPolicy {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'TrustPolicy'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

/** Reasons of a `TrustPolicy`'s `Ready` condition. */
export const trustPolicyReasons = {
  /** It is in the channels of the clusters that it holds for. */
  ready: 'Ready',
  /** It cannot be used as it is written; channels stay as they are until it is mended. */
  invalid: 'Invalid',
} as const

export const trustPolicyKind: KindDefinition = {
  kind: 'TrustPolicy',
  plural: 'trustpolicies',
  singular: 'trustpolicy',
  shortNames: ['mtp'],
  scope: 'Cluster',
  description: 'Who must have signed and attested the bundles and images that clusters run.',
  spec,
  status,
  columns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
  ],
}
