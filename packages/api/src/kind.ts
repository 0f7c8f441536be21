import * as z from 'zod'

/** API group and version of every kind that Muster defines. */
export const apiVersion = 'muster.dev/v1alpha1'

/** A condition as in the Kubernetes API conventions (`metav1.Condition`). `reason` is a documented constant of its kind. */
export const conditionSchema = z.object({
  type: z.string().max(316),
  status: z.enum(['True', 'False', 'Unknown']),
  observedGeneration: z.int().min(0).optional(),
  lastTransitionTime: z.iso.datetime(),
  reason: z.string().min(1).max(1024),
  message: z.string().max(32_768),
})
export type Condition = z.infer<typeof conditionSchema>

/** Metadata that an object of the API always has. */
export interface ObjectMeta {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
}

/** Everything that is true of a kind, in one value: its names, its schemas and the reasons that its conditions use. */
export interface KindDefinition {
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly scope: 'Cluster' | 'Namespaced'
  readonly description: string
  readonly spec: z.ZodType
  readonly status: z.ZodType
  readonly columns: readonly PrinterColumn[]
}

/** A column that `kubectl get` prints. */
export interface PrinterColumn {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date' | 'boolean'
  readonly jsonPath: string
}

/** An OCI digest of an algorithm that Muster accepts. */
export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256:<64 hex digits>')

/** The name of a cluster, a release or a placement: a DNS-1123 label, as it becomes part of names and addresses. */
export const nameSchema = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens')
