import * as z from 'zod'
import { maxBreakGlassSignatures } from './break-glass.ts'
import { type apiVersion, conditionSchema, type KindDefinition, type ObjectMeta } from './kind.ts'
import { siteFieldsSchema } from './site-overlay.ts'
import { authoritySchema, trustRulesSchema } from './trust-policy.ts'

const spec = z.strictObject({
  /** Rules that hold beside those of the channel. They can only tighten. */
  trust: trustRulesSchema.optional(),
  /** What SiteOverlays may change at most, beside what the bundle's owner allows. */
  siteOverlays: z.strictObject({ allow: siteFieldsSchema.max(256).optional(), forbid: z.boolean().optional() }).optional(),
  /** Who may open the write guard for a release (`muster break-glass`), and for how long at most. */
  breakGlass: z
    .strictObject({
      /** In place of the channel's publishers. */
      authorities: z.array(authoritySchema).min(1).max(16).optional(),
      /** How many of the authorities must sign; 1 where nothing is said. */
      threshold: z.int().min(1).max(maxBreakGlassSignatures).optional(),
      /** A number and `m`, `h` or `d`, such as `2h`; never more than 24 h. */
      maxDuration: z
        .string()
        .regex(/^[1-9][0-9]{0,5}[mhd]$/, 'must be a number and m, h or d, such as 2h')
        .optional(),
    })
    .optional(),
})
export const enclavePolicySpecSchema = spec

const status = z.strictObject({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
})

/** Kind `EnclavePolicy`: what a site asks of its own clusters beyond what the hub asks, in each cluster's API. The hub cannot write it. */
export interface EnclavePolicy {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'EnclavePolicy'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}

export const enclavePolicyKind: KindDefinition = {
  kind: 'EnclavePolicy',
  plural: 'enclavepolicies',
  singular: 'enclavepolicy',
  shortNames: ['mep'],
  scope: 'Cluster',
  description: 'What a site asks beyond what the hub asks. It can only tighten.',
  spec,
  status,
  columns: [],
}
