import { type Context, createContext, Script } from 'node:vm'
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

/** A condition that takes longer, in milliseconds, is ended: whoever attests shall not hold up who verifies. */
const deadlineMs = 250
/** Deeper or larger predicates are not looked into. */
const maxDepth = 64
const maxValues = 200_000

/**
 * Compiles conditions. The language is loaded with the first one, as most policies have none.
 * @throws TrustError `PolicyInvalid`
 */
export async function compileConditions(texts: readonly string[], where: string): Promise<Condition[]> {
  if (texts.length === 0) return []
  const { Environment } = await import('@marcbachmann/cel-js')
  const environment = new Environment({ limits: { maxAstNodes: 1000, maxDepth: 50, maxListElements: 200, maxMapEntries: 200 } })
    .registerVariable('predicate', 'dyn')
    .registerVariable('predicateType', 'string')
    .registerVariable('name', 'string')
    .registerVariable('digest', 'string')
    .registerVariable('now', 'google.protobuf.Timestamp')
  return texts.map((text) => {
    let parsed: ReturnType<typeof environment.parse>
    try {
      parsed = environment.parse(text)
    } catch (cause) {
      throw invalid(where, text, reasonOf(cause), cause)
    }
    const { valid, type, error } = parsed.check()
    if (!valid) throw invalid(where, text, reasonOf(error), error)
    if (type !== 'bool' && type !== 'dyn') throw invalid(where, text, `it gives a ${type}, not true or false`)
    const run = mayLast(text) ? timed : (work: () => unknown) => work()
    return { text, refuses: (input) => refusal(text, parsed, input, run) }
  })
}

/** Calls whose time grows with their arguments and no faster: an expression of these alone needs no deadline, which costs a thread. */
const quick: ReadonlySet<string> = new Set(['has', 'size', 'int', 'double', 'bool', 'timestamp', 'duration', 'startsWith', 'endsWith'])

/** Whether an expression has loops, regular expressions or whatever else may take long. A word in a text that looks like a call is one. */
function mayLast(text: string): boolean {
  return [...text.matchAll(/([A-Za-z_]\w*)\s*\(/g)].some((match) => !quick.has(match[1] ?? ''))
}

function refusal(
  text: string,
  evaluate: (context: Record<string, unknown>) => unknown,
  input: ConditionInput,
  run: (work: () => unknown) => unknown,
): string | undefined {
  try {
    const context = { ...input, predicate: celValue(input.predicate) }
    const result: unknown = run(() => evaluate(context))
    if (result === true) return undefined
    return result === false ? `It does not meet "${text}".` : `"${text}" is neither true nor false of it.`
  } catch (error) {
    return `"${text}" cannot be answered of it: ${reasonOf(error)}.`
  }
}

/** Runs `work` and ends it at the deadline, in whatever loop or regular expression it is. @throws Error */
function timed(work: () => unknown): unknown {
  sandbox ??= { script: new Script('work()'), context: createContext({}) }
  sandbox.context['work'] = work
  return sandbox.script.runInContext(sandbox.context, { timeout: deadlineMs })
}

let sandbox: { readonly script: Script; readonly context: Context } | undefined

/**
 * JSON as CEL sees it: whole numbers are integers, as JSON has no other way to write them.
 * @throws RangeError where it is too deep or too large
 */
function celValue(value: unknown): unknown {
  let values = 0
  const convert = (one: unknown, depth: number): unknown => {
    values += 1
    if (depth > maxDepth || values > maxValues) throw new RangeError('it is too deep or too large')
    if (typeof one === 'number') return Number.isSafeInteger(one) ? BigInt(one) : one
    if (Array.isArray(one)) return one.map((child) => convert(child, depth + 1))
    if (typeof one !== 'object' || one === null) return one
    // A map, since a key such as __proto__ is a key like any other here.
    return new Map(Object.entries(one).map(([key, child]) => [key, convert(child, depth + 1)]))
  }
  return convert(value, 0)
}

/** CEL's messages go on with the expression and a caret below it. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return (message.split('\n', 1)[0] ?? '').slice(0, 300)
}

function invalid(where: string, text: string, why: string, cause?: unknown): TrustError {
  return new TrustError('PolicyInvalid', `${where} has a condition that is no CEL expression, "${text.slice(0, 200)}": ${why}.`, cause)
}
