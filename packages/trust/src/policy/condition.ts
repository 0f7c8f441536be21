import { CelError, compileExpressions, type Expression } from '@muster/cel'
import { TrustError } from '../errors.ts'

/** What a condition may look at. */
export interface ConditionInput {
  readonly predicate: unknown
  readonly predicateType: string
  /** Name of the artifact, without tag and digest. */
  readonly name: string
  readonly digest: string
  readonly now: Date
}

/** A CEL expression that must be true of an attestation. */
export interface Condition {
  readonly text: string
  /** Why it is not true, or nothing when it is. */
  refuses(input: ConditionInput): string | undefined
}

const variables = {
  predicate: 'dyn',
  predicateType: 'string',
  name: 'string',
  digest: 'string',
  now: 'google.protobuf.Timestamp',
} as const

/** @throws TrustError `PolicyInvalid` */
export async function compileConditions(texts: readonly string[], where: string): Promise<Condition[]> {
  const expressions = await compileExpressions(texts, { variables, gives: 'bool' }, (text, cause) => {
    const what = `${where} has a condition that is no CEL expression, "${text.slice(0, 200)}"`
    return new TrustError('PolicyInvalid', `${what}: ${cause.message}.`, cause)
  })
  return expressions.map((expression) => ({ text: expression.text, refuses: (input) => refusal(expression, input) }))
}

function refusal(expression: Expression, input: ConditionInput): string | undefined {
  const { text } = expression
  try {
    const result = expression.evaluate({ ...input })
    if (result === true) return undefined
    return result === false ? `It does not meet "${text}".` : `"${text}" is neither true nor false of it.`
  } catch (error) {
    if (!(error instanceof CelError)) throw error
    return `"${text}" cannot be answered of it: ${error.message}.`
  }
}
