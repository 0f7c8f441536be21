import { CelError, compileExpressions, type Expression } from '@muster/cel'
import type { KubeObject } from '@muster/kube'
import { groupKind } from '../identity.ts'
import { degraded, type Health, healthy, progressing, unknown } from './view.ts'

/** How objects of one kind are judged, in CEL over `object`, as a bundle says it. */
export interface HealthRule {
  readonly apiGroup: string
  readonly kind: string
  readonly healthy: string
  readonly degraded?: string
  readonly message?: string
}

interface Compiled {
  readonly text: string
  readonly healthy: Expression
  readonly degraded: Expression | undefined
  readonly message: Expression | undefined
}

const longestMessage = 1024

/** The rules of one bundle, ready to be asked. */
export class HealthRules {
  static readonly none = new HealthRules(new Map())
  readonly #byKind: ReadonlyMap<string, Compiled>

  private constructor(byKind: ReadonlyMap<string, Compiled>) {
    this.#byKind = byKind
  }

  /** @throws CelError `Invalid` */
  static async compile(rules: readonly HealthRule[]): Promise<HealthRules> {
    if (rules.length === 0) return HealthRules.none
    const byKind = new Map<string, Compiled>()
    for (const rule of rules) byKind.set(groupKind({ apiVersion: `${rule.apiGroup}/`, kind: rule.kind }), await compile(rule))
    return new HealthRules(byKind)
  }

  /** What stands for the rule of a kind (`Kind.group`); another text judges otherwise. Empty where there is none. */
  textOf(kind: string): string {
    return this.#byKind.get(kind)?.text ?? ''
  }

  /** Undefined for a kind without a rule. */
  judge(object: KubeObject): Health | undefined {
    const rule = this.#byKind.get(groupKind(object))
    if (rule === undefined) return undefined
    const { managedFields: _, ...metadata } = object.metadata
    const input = { object: { ...object, metadata } }
    try {
      if (rule.degraded !== undefined && isTrue(rule.degraded, input))
        return degraded('Degraded', said(rule, input) ?? `Its bundle says so: ${rule.degraded.text}.`)
      if (isTrue(rule.healthy, input)) return healthy(said(rule, input) ?? "It is as its bundle's rule asks.")
      return progressing('Progressing', said(rule, input) ?? `It is not yet that ${rule.healthy.text}.`)
    } catch (error) {
      if (!(error instanceof CelError)) throw error
      return unknown('RuleFailed', `The rule that its bundle gives cannot be answered of it: ${error.message}.`)
    }
  }
}

async function compile(rule: HealthRule): Promise<Compiled> {
  const one = async (text: string | undefined, gives: 'bool' | 'string'): Promise<Expression | undefined> =>
    text === undefined ? undefined : (await compileExpressions([text], { variables: { object: 'dyn' }, gives }))[0]
  const is = await one(rule.healthy, 'bool')
  if (is === undefined) throw new CelError('Invalid', 'there is none')
  return {
    text: JSON.stringify([rule.healthy, rule.degraded, rule.message]),
    healthy: is,
    degraded: await one(rule.degraded, 'bool'),
    message: await one(rule.message, 'string'),
  }
}

type Input = Readonly<Record<string, unknown>>

/** A field that is not there is not yet there: a controller writes its status when it has looked. @throws CelError `Failed` */
function isTrue(expression: Expression, input: Input): boolean {
  try {
    const result = expression.evaluate(input)
    if (typeof result === 'boolean') return result
  } catch (error) {
    if (error instanceof CelError && error.code === 'Missing') return false
    throw error
  }
  throw new CelError('Failed', `"${expression.text}" is neither true nor false`)
}

/** A message that cannot be made is not worth more than that: the judgement stands. */
function said({ message }: Compiled, input: Input): string | undefined {
  try {
    const text = message?.evaluate(input)
    return typeof text === 'string' && text !== '' ? text.slice(0, longestMessage) : undefined
  } catch (error) {
    if (error instanceof CelError) return undefined
    throw error
  }
}
