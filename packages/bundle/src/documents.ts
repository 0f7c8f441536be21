import {
  type Document,
  type DocumentOptions,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  type ParseOptions,
  parseAllDocuments,
  type ScalarTag,
  type SchemaOptions,
  visit,
} from 'yaml'
import { BundleError, type BundleErrorCode } from './errors.ts'
import { limits } from './limits.ts'
import { isRecord } from './object.ts'

/** One document of a YAML or JSON file, as plain JSON values. */
export interface SourceDocument {
  readonly value: unknown
  /** Counted from 1. */
  readonly number: number
  /** `file:line:column` of what a path leads to, or of the nearest thing that is there. */
  position(path?: readonly PropertyKey[]): string
  /** Of the document's first content, from 1. */
  readonly line: number
}

export interface ReadOptions {
  /** For messages. */
  readonly file: string
  readonly code: BundleErrorCode
  /** Whether anchors and aliases may be used; at most 1,000. Default true. */
  readonly aliases?: boolean
}

const maximumAliases = 1000
const maximumValues = 2_000_000
const resolveTags = 'tag:yaml.org,2002:'

/**
 * Reads scalars as Kubernetes does (its YAML reader is YAML 1.1 without base 60 and timestamps): `0644` is octal, `yes` and `on` are
 * true. Otherwise a file mode in a manifest would mean one thing here and another on the API server.
 */
const kubernetesScalars: ScalarTag[] = [
  {
    tag: `${resolveTags}null`,
    default: true,
    test: /^(?:~|null|Null|NULL)?$/,
    resolve: () => null,
  },
  {
    tag: `${resolveTags}bool`,
    default: true,
    test: /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/,
    resolve: (text) => /^(?:y|t|on)/i.test(text),
  },
  {
    tag: `${resolveTags}int`,
    default: true,
    test: /^[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)$/,
    resolve: readInteger,
  },
  {
    tag: `${resolveTags}float`,
    default: true,
    test: /^[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$/,
    resolve: (text, onError) => finite(Number(text.replaceAll('_', '')), onError),
  },
  {
    tag: `${resolveTags}float`,
    default: true,
    test: /^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
    resolve: (text, onError) => onError(`${text} is no number that JSON can carry`),
  },
]

/** How YAML is read here. */
export const yamlOptions: ParseOptions & DocumentOptions & SchemaOptions = {
  version: '1.2',
  schema: 'failsafe',
  customTags: (tags) => [...tags, ...kubernetesScalars, 'merge'],
  stringKeys: true,
  // Checked below in linear time.
  uniqueKeys: false,
  prettyErrors: false,
  logLevel: 'silent',
}

function readInteger(text: string, onError: (message: string) => void): number {
  const negative = text.startsWith('-')
  const digits = text.replace(/^[-+]/, '').replaceAll('_', '')
  // A leading zero means octal, unless a digit says otherwise.
  const octal = /^0[0-7]+$/.test(digits)
  const value = octal ? Number.parseInt(digits, 8) : Number(digits)
  if (!Number.isSafeInteger(value)) onError(`${text} is too large to be carried exactly; quote it when it is text`)
  return negative ? -value : value
}

function finite(value: number, onError: (message: string) => void): number {
  if (!Number.isFinite(value)) onError('this number is too large')
  return value
}

/**
 * Reads all documents of a YAML file; empty ones are left out but counted. JSON is read as YAML reads it.
 * @throws BundleError with the given code for bad syntax, a key that occurs twice, unknown tags; `TooLarge` past a bound
 */
export function readDocuments(text: string, options: ReadOptions): SourceDocument[] {
  const { file } = options
  if (text.length > limits.sourceFileBytes) {
    throw new BundleError('TooLarge', `${file} is larger than ${limits.sourceFileBytes} bytes. Split it.`)
  }
  if (file.endsWith('.json')) return [readJsonDocument(text, options)]
  const lines = new LineCounter()
  const documents = guard(options, () =>
    parseAllDocuments(text, {
      lineCounter: lines,
      ...yamlOptions,
    }),
  )
  if (!Array.isArray(documents)) return []
  return documents.flatMap((document, at) => {
    const place = (offset: number) => {
      const { line, col } = lines.linePos(offset)
      return `${file}:${line}:${col}`
    }
    const problem = document.errors[0] ?? document.warnings[0]
    if (problem !== undefined) throw new BundleError(options.code, `${place(problem.pos[0])}: ${problem.message}`, { cause: problem })
    const root = document.contents
    if (root === null || (isScalar(root) && root.value === null)) return []
    checkNodes(document, options, place)
    const value = guard(options, () => document.toJS({ maxAliasCount: 100 }) as unknown)
    bound(value, `${file}, document ${at + 1}`, options.code)
    return [
      {
        value,
        number: at + 1,
        line: lines.linePos(root.range?.[0] ?? 0).line,
        position: (path = []) => place(nearest(root, path)),
      },
    ]
  })
}

function readJsonDocument(text: string, options: ReadOptions): SourceDocument {
  const value = guard(options, () =>
    JSON.parse(text, (_key, item: unknown) => {
      if (typeof item === 'number' && Number.isInteger(item) && !Number.isSafeInteger(item)) {
        throw new RangeError(`${item} is too large to be carried exactly; quote it when it is text`)
      }
      return item
    }),
  )
  bound(value, options.file, options.code)
  return { value, number: 1, line: 1, position: () => `${options.file}:1:1` }
}

/** Turns what the parser throws (deep nesting overflows its stack; alias bombs) into our error. */
function guard<T>(options: ReadOptions, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new BundleError(options.code, `${options.file} cannot be read: ${why}.`, { cause })
  }
}

function checkNodes(document: Document.Parsed, options: ReadOptions, place: (offset: number) => string): void {
  let aliases = 0
  const refuse = (node: Node, why: string) => new BundleError(options.code, `${place(node.range?.[0] ?? 0)}: ${why}.`)
  guardBundle(options, () =>
    visit(document, {
      Alias: (_key, node) => {
        aliases += 1
        if (options.aliases === false) throw refuse(node, 'aliases are not allowed here')
        if (aliases > maximumAliases) throw refuse(node, `more than ${maximumAliases} aliases`)
      },
      Map: (_key, map) => {
        const seen = new Set<string>()
        for (const { key } of map.items) {
          if (!isScalar(key)) throw refuse(map, 'a key is not text')
          const name = String(key.value)
          if (name === '__proto__') throw refuse(key, 'the key "__proto__" is not allowed')
          if (name === '<<' && key.type === 'PLAIN') continue
          if (seen.has(name)) throw refuse(key, `the key "${name.slice(0, 100)}" occurs twice`)
          seen.add(name)
        }
      },
    }),
  )
}

function guardBundle(options: ReadOptions, run: () => void): void {
  try {
    run()
  } catch (error) {
    if (error instanceof BundleError) throw error
    guard(options, () => {
      throw error
    })
  }
}

/** Aliases make a graph; what it is as a tree must stay small, and JSON can be nested without end. */
function bound(value: unknown, where: string, code: BundleErrorCode): void {
  let count = 0
  const walk = (item: unknown, depth: number): void => {
    count += 1
    if (count > maximumValues) throw new BundleError('TooLarge', `${where} holds more than ${maximumValues} values. Split it.`)
    if (depth > limits.depth) throw new BundleError(code, `${where} is nested more than ${limits.depth} levels deep.`)
    if (Array.isArray(item)) for (const child of item) walk(child, depth + 1)
    else if (isRecord(item)) for (const child of Object.values(item)) walk(child, depth + 1)
  }
  walk(value, 0)
}

function nearest(root: Node, path: readonly PropertyKey[]): number {
  let node: unknown = root
  let offset = root.range?.[0] ?? 0
  for (const step of path) {
    if (!isCollection(node)) break
    const pair = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : node.items[Number(step)]
    const next: unknown = isPair(pair) ? pair.value : pair
    const place = isPair(pair) && isScalar(pair.key) ? pair.key : next
    if (!isNodeWithRange(place)) break
    offset = place.range[0]
    node = next
  }
  return offset
}

function isNodeWithRange(value: unknown): value is { range: [number, number, number] } {
  return (isScalar(value) || isCollection(value) || isAlias(value)) && Array.isArray(value.range)
}
