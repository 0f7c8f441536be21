import * as z from 'zod'
import { type apiVersion, conditionSchema, type KindDefinition, nameSchema, type ObjectMeta } from './kind.ts'
import { grantSchema } from './release-settings.ts'

const spec = z.strictObject({
  displayName: z.string().max(253).optional(),
  /** Whom to ask: an address, a channel, a person's name. */
  contact: z.string().max(253).optional(),
  /** What its releases may make, where, and until when. None: nothing. */
  grants: z
    .array(
      grantSchema.extend({
        /** Clusters that it is for: all of them, where nothing is said; those named, or those with all of the labels. */
        clusters: z
          .strictObject({
            names: z.array(nameSchema).min(1).max(5000).optional(),
            matchLabels: z.record(z.string(), z.string()).optional(),
          })
          .optional(),
        reason: z.string().max(1024).optional(),
      }),
    )
    .max(64),
})

const status = z.strictObject({
  conditions: z.array(conditionSchema).max(16).optional(),
  observedGeneration: z.int().optional(),
})

/** Namespaces of Kubernetes and of Muster themselves: whoever writes there rules the cluster, so no tenant gets them. */
export function isReservedNamespace(name: string): boolean {
  return /^(kube|muster)-/.test(name)
}

/** Kind `Tenant`: whose releases act as an account of their own, within grants that end, in the hub's API. */
export interface Tenant {
  readonly apiVersion: typeof apiVersion
  readonly kind: 'Tenant'
  readonly metadata: ObjectMeta
  readonly spec: z.infer<typeof spec>
  readonly status?: z.infer<typeof status>
}
export type TenantGrant = Tenant['spec']['grants'][number]

/** Reasons of a `Tenant`'s `Ready` condition. */
export const tenantReasons = {
  /** Its grants are in the channels of the clusters that they are for. */
  ready: 'Ready',
  /** A grant cannot be given as it is written, and is not. */
  invalid: 'Invalid',
  /** A namespace belongs to another tenant, and is left out of a grant. */
  namespaceTaken: 'NamespaceTaken',
} as const

export const tenantKind: KindDefinition = {
  kind: 'Tenant',
  plural: 'tenants',
  singular: 'tenant',
  shortNames: ['mten'],
  scope: 'Cluster',
  description: 'Whose releases act as an account of their own, within grants that end.',
  spec,
  status,
  columns: [
    { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'Reason', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].reason' },
  ],
}
