import * as z from 'zod'
import { type apiVersion, conditionSchema, type KindDefinition, type ObjectMeta } from './kind.ts'
import { siteFieldsSchema } from './site-overlay.ts'
import { trustRulesSchema } from './trust-policy.ts'

const spec = z.strictObject({
  /** Rules that hold beside those of the channel. They can only tighten. */
  trust: trustRulesSchema.optional(),
  /** What SiteOverlays may change at most, beside what the bundle's owner allows. */
  siteOverlays: z.strictObject({ allow: siteFieldsSchema.max(256).optional(), forbid: z.boolean().optional() }).optional(),
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
