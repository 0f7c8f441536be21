import { enclavePolicySpecSchema, type TrustPolicy, trustPolicySpecSchema } from '@muster/api'
import * as z from 'zod'
import { TrustError } from '../errors.ts'
import type { PolicyLevel, PolicySource } from './compile.ts'

const objectSchema = z.object({
  apiVersion: z.literal('muster.dev/v1alpha1'),
  kind: z.enum(['TrustPolicy', 'EnclavePolicy']),
  metadata: z.object({ name: z.string().min(1).max(253) }),
  spec: z.unknown(),
})

/**
 * The level at which a `TrustPolicy` speaks: the organization's where it names no clusters, an enclave's where it selects by labels, a
 * cluster's where it names clusters.
 */
export function levelOf({ clusters }: Pick<TrustPolicy['spec'], 'clusters'>): PolicyLevel {
  if (clusters === undefined) return 'organization'
  return clusters.names === undefined ? 'enclave' : 'cluster'
}

/**
 * Reads a `TrustPolicy` or an `EnclavePolicy` from outside, such as a file; nothing for an `EnclavePolicy` without rules of trust.
 * A field that is not known is refused: a threshold that is spelled wrong must not read as none.
 * @throws TrustError `PolicyInvalid`
 */
export function readPolicy(object: unknown, where: string): PolicySource | undefined {
  const { kind, metadata, spec } = checked(objectSchema, object, where)
  if (kind === 'TrustPolicy') {
    const { clusters, ...rules } = checked(trustPolicySpecSchema, spec, `${where}, ${kind} ${metadata.name}`)
    return { name: metadata.name, level: levelOf({ clusters }), rules }
  }
  const { trust } = checked(enclavePolicySpecSchema, spec, `${where}, ${kind} ${metadata.name}`)
  return trust === undefined ? undefined : { name: metadata.name, level: 'site', rules: trust }
}

function checked<T>(schema: z.ZodType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const at = issue?.path.join('.') ?? ''
  throw new TrustError(
    'PolicyInvalid',
    `${where} is no trust policy: ${at === '' ? '' : `${at}: `}${issue?.message ?? 'it is malformed'}.`,
    result.error,
  )
}
