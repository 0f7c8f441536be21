import { isMap, isNode, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml'
import { readDocuments, yamlOptions } from '../documents.ts'
import type { BundleChart, ChartParameter } from '../format.ts'
import { limits } from '../limits.ts'
import { isRecord } from '../object.ts'
import type { Chart } from './chart.ts'

type Documented = Pick<BundleChart, 'parameters' | 'schema' | 'schemaFrom'>

const longestDescription = 2000
const longestDefault = 2000
const deepest = 12

/**
 * A chart's values as parameters: name, type, default and the comment above, in the order of values.yaml; with the chart's own schema,
 * or one made of them. Maps are taken apart; lists and empty maps are one parameter each.
 * @param set what the bundle sets
 * @throws BundleError `HelmFailed` where values.yaml is malformed
 */
export function documentValues(chart: Chart, set: Readonly<Record<string, unknown>>): Documented {
  const file = `${chart.name}/values.yaml`
  // Checked first: bounds, keys that occur twice.
  const [checked] = readDocuments(chart.valuesText, { file, code: 'HelmFailed' })
  const parameters: ChartParameter[] = []
  const document = parseDocument(chart.valuesText, yamlOptions)
  const text = new SourceText(chart.valuesText)
  if (isMap(document.contents) && isRecord(checked?.value))
    collect(document.contents, checked.value, set, '', { text, into: parameters }, 0)
  const bounded = parameters.slice(0, limits.parameters)
  if (chart.schema !== undefined) return { parameters: bounded, schema: chart.schema, schemaFrom: 'values.schema.json' }
  return { parameters: bounded, schema: inferSchema(checked?.value), schemaFrom: 'values.yaml' }
}

interface Collecting {
  readonly text: SourceText
  readonly into: ChartParameter[]
}

function collect(
  map: YAMLMap,
  defaults: Record<string, unknown>,
  set: unknown,
  prefix: string,
  collecting: Collecting,
  depth: number,
): void {
  const { text, into } = collecting
  for (const pair of map.items) {
    if (!isScalar(pair.key) || into.length >= limits.parameters) return
    const key = String(pair.key.value)
    const name = `${prefix}${/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)}`
    if (name.length > 1000) continue
    const value = defaults[key]
    const own = isRecord(set) && Object.hasOwn(set, key) ? set[key] : undefined
    const description = text.commentOf(pair)
    if (isMap(pair.value) && isRecord(value) && Object.keys(value).length > 0 && depth < deepest) {
      const before = into.length
      collect(pair.value, value, own, `${name}.`, collecting, depth + 1)
      const first = into[before]
      // What stands above a group says what its members are for.
      if (description !== undefined && first !== undefined && first.description === undefined) into[before] = { ...first, description }
      continue
    }
    into.push({
      name,
      type: typeOf(value),
      ...(value === null || value === undefined ? {} : { default: bounded(value) }),
      ...(own === undefined || JSON.stringify(own) === JSON.stringify(value) ? {} : { value: bounded(own) }),
      ...(description === undefined ? {} : { description }),
    })
  }
}

/** Comments as people read them, by line and margin: YAML itself does not say what a comment belongs to. */
class SourceText {
  readonly #text: string
  readonly #lines: readonly string[]
  readonly #starts: number[] = [0]

  constructor(text: string) {
    this.#text = text
    this.#lines = text.split('\n')
    for (const line of this.#lines) this.#starts.push((this.#starts.at(-1) ?? 0) + line.length + 1)
  }

  /** The lines of comment right above a key, at its margin; else what stands behind its value. Of helm-docs' comments, the text. */
  commentOf({ key, value }: Pair): string | undefined {
    const offset = isScalar(key) ? (key.range?.[0] ?? 0) : 0
    const at = this.#lineAt(offset)
    const margin = ' '.repeat(offset - (this.#starts[at] ?? 0))
    const above: string[] = []
    for (let line = at - 1; this.#lines[line]?.startsWith(`${margin}#`) === true; line -= 1) above.unshift(this.#lines[line] ?? '')
    const text = (above.length > 0 ? above : [this.#behind(value, offset, at)])
      .map((line) => line.replace(/^\s*#+\s?(?:--\s?)?/, '').trimEnd())
      .filter((line) => !/^\s*@(?:default|ignored|section|schema)\b/.test(line))
      .join('\n')
      .trim()
    return text === '' ? undefined : text.slice(0, longestDescription)
  }

  #behind(value: unknown, offset: number, at: number): string {
    // Where a value is missing, its node begins anywhere.
    const isMissing = isScalar(value) && value.value === null
    const end = !isMissing && isNode(value) && value.range ? Math.max(value.range[1], offset) : offset
    return /\s#(.*)$/.exec(this.#text.slice(end, (this.#starts[at + 1] ?? 0) - 1))?.[1] ?? ''
  }

  #lineAt(offset: number): number {
    let [low, high] = [0, this.#lines.length - 1]
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if ((this.#starts[middle] ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low
  }
}

function typeOf(value: unknown): ChartParameter['type'] {
  if (Array.isArray(value)) return 'array'
  if (isRecord(value)) return 'object'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string' || typeof value === 'boolean') return typeof value as 'string' | 'boolean'
  return 'any'
}

/** What is long is a file more than a default. */
function bounded(value: unknown): unknown {
  const text = JSON.stringify(value)
  return text.length <= longestDefault ? value : `… (${text.length} characters)`
}

/** What values may be, by what they are. An empty default says nothing of what may stand there, so it asks for no type. */
function inferSchema(value: unknown, depth = 0): object {
  if (!isRecord(value) || depth > deepest) {
    const type = typeOf(value)
    return type === 'any' || (type === 'object' && isRecord(value) && Object.keys(value).length === 0) ? {} : { type }
  }
  const properties = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inferSchema(item, depth + 1)]))
  const schema = depth === 0 ? { $schema: 'https://json-schema.org/draft/2020-12/schema' } : {}
  return Object.keys(value).length === 0 ? schema : { ...schema, type: 'object', properties }
}
