import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml'
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
  if (isMap(document.contents) && isRecord(checked?.value)) collect(document.contents, checked.value, set, '', parameters, 0)
  const bounded = parameters.slice(0, limits.parameters)
  if (chart.schema !== undefined) return { parameters: bounded, schema: chart.schema, schemaFrom: 'values.schema.json' }
  return { parameters: bounded, schema: inferSchema(checked?.value), schemaFrom: 'values.yaml' }
}

function collect(
  map: YAMLMap,
  defaults: Record<string, unknown>,
  set: unknown,
  prefix: string,
  into: ChartParameter[],
  depth: number,
): void {
  map.items.forEach((pair, at) => {
    if (!isScalar(pair.key) || into.length >= limits.parameters) return
    const key = String(pair.key.value)
    const name = `${prefix}${/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key)}`
    if (name.length > 1000) return
    const value = defaults[key]
    const own = isRecord(set) && Object.hasOwn(set, key) ? set[key] : undefined
    const description = descriptionOf(pair, at === 0 ? map.commentBefore : undefined)
    if (isMap(pair.value) && isRecord(value) && Object.keys(value).length > 0 && depth < deepest) {
      const before = into.length
      collect(pair.value, value, own, `${name}.`, into, depth + 1)
      const first = into[before]
      // What stands above a group says what its members are for.
      if (description !== undefined && first !== undefined && first.description === undefined) into[before] = { ...first, description }
      return
    }
    into.push({
      name,
      type: typeOf(value),
      ...(value === null || value === undefined ? {} : { default: bounded(value) }),
      ...(own === undefined || JSON.stringify(own) === JSON.stringify(value) ? {} : { value: bounded(own) }),
      ...(description === undefined ? {} : { description }),
    })
  })
}

/** The comment above, else the one at the end of the line; of helm-docs' comments, what follows `--`. */
function descriptionOf(pair: Pair, mapComment: string | null | undefined): string | undefined {
  const above = (isScalar(pair.key) ? pair.key.commentBefore : undefined) ?? mapComment
  const behind = isScalar(pair.value) ? pair.value.comment : undefined
  // A blank line parts what belongs to the key from what does not.
  const near = above?.split(/\n\s*\n/).at(-1)
  const lines = (near ?? behind ?? '')
    .split('\n')
    .map((line) => line.replace(/^\s?(?:--\s?)?/, '').trimEnd())
    .filter((line) => !/^\s*@(?:default|ignored|section|schema)\b/.test(line))
  const text = lines.join('\n').trim()
  return text === '' ? undefined : text.slice(0, longestDescription)
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
