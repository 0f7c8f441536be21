import { type CelError, compileExpressions } from '@muster/cel'
import * as z from 'zod'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { limits } from './limits.ts'
import { isRecord } from './object.ts'

const expression = z.string().min(1).max(2000)

/** A rule of bundle.yaml, and of bundle.json. */
export const healthRuleSchema = z.strictObject({
  apiGroup: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,252}$/, 'must be an API group, without version')
    .or(z.literal(''))
    .default(''),
  kind: z.string().regex(/^[A-Za-z][A-Za-z0-9]{0,62}$/, 'must be a kind'),
  healthy: expression,
  degraded: expression.optional(),
  message: expression.optional(),
})

export const healthRulesSchema = z
  .array(healthRuleSchema)
  .max(limits.healthRules)
  .refine((rules) => new Set(rules.map(({ apiGroup, kind }) => `${kind}.${apiGroup}`)).size === rules.length, 'has two rules for one kind')

/** How objects of one kind are judged: expressions in CEL over `object`. */
export interface HealthRule {
  readonly apiGroup: string
  readonly kind: string
  /** True or false. Neither healthy nor degraded is on its way. */
  readonly healthy: string
  readonly degraded?: string
  /** A text: why. */
  readonly message?: string
}

/** `Kafka.kafka.strimzi.io is healthy when object.status…` */
export function healthRuleText({ apiGroup, kind, healthy, degraded }: HealthRule): string {
  const what = apiGroup === '' ? kind : `${kind}.${apiGroup}`
  return `${what} is healthy when ${healthy}${degraded === undefined ? '' : `, degraded when ${degraded}`}`
}

/**
 * Checks that rules are written in CEL.
 * @param where what the message begins with
 * @throws BundleError `SourceInvalid`
 */
export async function checkHealthRules(rules: readonly HealthRule[], where: string): Promise<void> {
  for (const [at, { healthy, degraded, message }] of rules.entries()) {
    const refusal = (text: string, cause: CelError): BundleError =>
      new BundleError(
        'SourceInvalid',
        `${where}: health.${at} has "${text.slice(0, 200)}", which is no expression in CEL: ${cause.message}.`,
        { cause },
      )
    const options = { variables: { object: 'dyn' } } as const
    await compileExpressions(degraded === undefined ? [healthy] : [healthy, degraded], { ...options, gives: 'bool' }, refusal)
    if (message !== undefined) await compileExpressions([message], { ...options, gives: 'string' }, refusal)
  }
}

/**
 * The rules under `health:` of a YAML file, such as a bundle.yaml; what else it says is not looked at.
 * @throws BundleError `SourceInvalid`
 */
export async function readHealthRules(text: string, file: string): Promise<HealthRule[]> {
  const [document] = readDocuments(text, { file, code: 'SourceInvalid' })
  const checked = healthRulesSchema.safeParse(isRecord(document?.value) ? document.value['health'] : undefined)
  if (!checked.success) {
    const [issue] = checked.error.issues
    const field = ['health', ...(issue?.path ?? [])].join('.')
    throw new BundleError(
      'SourceInvalid',
      `${document?.position(['health', ...(issue?.path ?? [])]) ?? file}: ${field}: ${issue?.message}`,
      {
        cause: checked.error,
      },
    )
  }
  const rules = plainRules(checked.data)
  await checkHealthRules(rules, file)
  return rules
}

/** zod gives optional keys as `T | undefined`; a rule has none that is undefined. */
export function plainRules(rules: z.infer<typeof healthRulesSchema>): HealthRule[] {
  return rules.map(({ apiGroup, kind, healthy, degraded, message }) => ({
    apiGroup,
    kind,
    healthy,
    ...(degraded === undefined ? {} : { degraded }),
    ...(message === undefined ? {} : { message }),
  }))
}
