import { type Context, createContext, Script } from 'node:vm'
import { CelError } from './errors.ts'

export interface ExpressionOptions {
  /** What it may look at, and of which type: `dyn` for any JSON. */
  readonly variables: Readonly<Record<string, 'dyn' | 'string' | 'google.protobuf.Timestamp'>>
  /** What it gives. */
  readonly gives: 'bool' | 'string'
}

export interface Expression {
  readonly text: string
  /**
   * Its value for these variables: JSON, or a Date for a timestamp.
   * @throws CelError `Missing`, `Failed`
   */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown
}

/** An expression that takes longer, in milliseconds, is ended: whoever wrote what it looks at shall not hold up who asks. */
const deadlineMs = 250
/** Deeper or larger values are not looked into. */
const maxDepth = 64
const maxValues = 200_000
const limits = { maxAstNodes: 1000, maxDepth: 50, maxListElements: 200, maxMapEntries: 200 } as const

/**
 * Compiles expressions. The language is loaded with the first one.
 * @param onInvalid makes the error of one that is none, which then is thrown
 * @throws CelError `Invalid`
 */
export async function compileExpressions(
  texts: readonly string[],
  { variables, gives }: ExpressionOptions,
  onInvalid: (text: string, why: CelError) => Error = (_text, why) => why,
): Promise<Expression[]> {
  if (texts.length === 0) return []
  const { Environment } = await import('@marcbachmann/cel-js')
  const environment = new Environment({ limits })
  for (const [name, type] of Object.entries(variables)) environment.registerVariable(name, type)
  return texts.map((text) => {
    let parsed: ReturnType<typeof environment.parse>
    try {
      parsed = environment.parse(text)
    } catch (cause) {
      throw onInvalid(text, new CelError('Invalid', reasonOf(cause), cause))
    }
    const { valid, type, error } = parsed.check()
    if (!valid) throw onInvalid(text, new CelError('Invalid', reasonOf(error), error))
    if (type !== gives && type !== 'dyn') throw onInvalid(text, new CelError('Invalid', `it gives a ${type}, not ${wanted[gives]}`))
    const run = mayLast(text) ? timed : (work: () => unknown) => work()
    return { text, evaluate: (input) => evaluate(parsed, input, run) }
  })
}

const wanted = { bool: 'true or false', string: 'a text' } as const

/** Calls whose time grows with their arguments and no faster: an expression of these alone needs no deadline, which costs a thread. */
const quick: ReadonlySet<string> = new Set([
  'has',
  'size',
  'int',
  'double',
  'bool',
  'timestamp',
  'duration',
  'startsWith',
  'endsWith',
  'string',
])

/** Whether an expression has loops, regular expressions or whatever else may take long. A word in a text that looks like a call is one. */
function mayLast(text: string): boolean {
  return [...text.matchAll(/([A-Za-z_]\w*)\s*\(/g)].some((match) => !quick.has(match[1] ?? ''))
}

function evaluate(
  parsed: (context: Record<string, unknown>) => unknown,
  input: Readonly<Record<string, unknown>>,
  run: (work: () => unknown) => unknown,
): unknown {
  try {
    const context = Object.fromEntries(
      Object.entries(input).map(([name, value]) => [name, value instanceof Date ? value : celValue(value)]),
    )
    return run(() => parsed(context))
  } catch (error) {
    throw new CelError(codeOf(error) === 'no_such_key' ? 'Missing' : 'Failed', reasonOf(error), error)
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

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
}

/** CEL's messages go on with the expression and a caret below it. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return (message.split('\n', 1)[0] ?? '').slice(0, 300)
}
