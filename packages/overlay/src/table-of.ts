import { isRecord } from './node.ts'

/** What is known of Kubernetes' own kinds: which lists are merged by which keys, and which kinds belong to no namespace. */
export interface KindTable {
  /** `apps/v1/Deployment` → number of its type. */
  readonly kinds: Readonly<Record<string, number>>
  /**
   * Fields of a type that lead to merged lists: the type of a map, or `[keys, type of the items]` of a list, -1 where that leads
   * nowhere; `+` before it: the list is merged itself. `*` stands for any field.
   */
  readonly types: readonly Readonly<Record<string, FieldType>>[]
  /** `ClusterRole.rbac.authorization.k8s.io` */
  readonly clusterScoped: readonly string[]
}

/** A map's type; or a list: its merge keys (none: a list of texts that is a set; null: replaced whole) and the type of its items. */
export type FieldType = number | readonly [keys: readonly string[] | null, items: number]

type Json = Readonly<Record<string, unknown>>

/** Reads the table out of what an API server says at /openapi/v2. Its merge keys are those that strategic merge goes by. */
export function tableOf(openapi: unknown): KindTable {
  const definitions = records(record(openapi)['definitions'])
  const useful = usefulTypes(definitions)
  const wanted = new Map<string, string>()
  for (const [name, definition] of definitions) {
    if (!useful.has(name) || !isOwn(name)) continue
    for (const gvk of list(definition['x-kubernetes-group-version-kind'])) {
      const { group, version, kind } = record(gvk)
      // Nobody keeps a list as an object.
      if (name.endsWith('List')) continue
      wanted.set(`${group ? `${String(group)}/` : ''}${String(version)}/${String(kind)}`, name)
    }
  }
  const numbers = new Map<string, number>()
  const types: Record<string, FieldType>[] = []
  const numberOf = (name: string): number => {
    const known = numbers.get(name)
    if (known !== undefined) return known
    const number = types.length
    numbers.set(name, number)
    const fields: Record<string, FieldType> = {}
    types.push(fields)
    const definition = definitions.get(name) ?? {}
    for (const [field, schema] of properties(definition)) {
      const type = fieldType(schema, (target) => (useful.has(target) ? numberOf(target) : -1))
      if (type !== undefined) fields[field] = type
    }
    return number
  }
  const kinds = Object.fromEntries([...wanted].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, name]) => [kind, numberOf(name)]))
  return { kinds, types, clusterScoped: clusterScopedKinds(record(openapi)) }
}

/** Whether a type is Kubernetes' own, and not of a definition that somebody installed. */
function isOwn(name: string): boolean {
  return /^io\.k8s\.(?:api|apiextensions-apiserver|kube-aggregator)\./.test(name)
}

function fieldType(schema: Json, number: (target: string) => number): FieldType | undefined {
  const items = record(schema['items'])
  if (schema['type'] === 'array') {
    const of = number(target(items) ?? '')
    const keys = mergeKeys(schema)
    return keys === null && of < 0 ? undefined : [keys, of]
  }
  const of = number(target(schema) ?? '')
  return of < 0 ? undefined : of
}

/** As strategic merge goes by them: `x-kubernetes-list-map-keys` of a list that is merged, else its one merge key; null: it is not merged. */
function mergeKeys(schema: Json): readonly string[] | null {
  const strategies = String(schema['x-kubernetes-patch-strategy'] ?? '').split(',')
  if (!strategies.includes('merge')) return null
  const keys = list(schema['x-kubernetes-list-map-keys']).map(String)
  if (keys.length > 0) return keys
  const key = schema['x-kubernetes-patch-merge-key']
  return typeof key === 'string' ? [key] : []
}

/** Types from which a merged list can be reached. */
function usefulTypes(definitions: ReadonlyMap<string, Json>): Set<string> {
  const useful = new Set<string>()
  for (let before = -1; before !== useful.size; ) {
    before = useful.size
    for (const [name, definition] of definitions) {
      const leads = properties(definition).some(([, schema]) => {
        const to = target(schema['type'] === 'array' ? record(schema['items']) : schema)
        return (schema['type'] === 'array' && mergeKeys(schema) !== null) || (to !== undefined && useful.has(to))
      })
      if (leads) useful.add(name)
    }
  }
  return useful
}

/** Fields with their schemas; a map's values as the field `*`. Only what people write: not status. */
function properties(definition: Json): [string, Json][] {
  const own = [...records(definition['properties'])].filter(([field]) => field !== 'status')
  const values = definition['additionalProperties']
  return isRecord(values) ? [...own, ['*', values]] : own
}

function target(schema: Json): string | undefined {
  const reference = schema['$ref']
  return typeof reference === 'string' ? reference.slice(reference.lastIndexOf('/') + 1) : undefined
}

function clusterScopedKinds(openapi: Json): string[] {
  const own = new Set<string>()
  for (const [name, definition] of records(openapi['definitions']))
    if (isOwn(name)) for (const gvk of list(definition['x-kubernetes-group-version-kind'])) own.add(kindName(record(gvk)))
  const scoped = new Set<string>()
  for (const [path, operations] of records(openapi['paths'])) {
    if (!path.endsWith('/{name}') || path.includes('/watch/') || path.includes('/namespaces/{namespace}/')) continue
    const gvk = record(record(operations['get'])['x-kubernetes-group-version-kind'])
    if (own.has(kindName(gvk))) scoped.add(kindName(gvk))
  }
  return [...scoped].sort()
}

function kindName({ group, kind }: Json): string {
  return group ? `${String(kind)}.${String(group)}` : String(kind)
}

function record(value: unknown): Json {
  return isRecord(value) ? value : {}
}

function records(value: unknown): Map<string, Json> {
  return new Map(Object.entries(record(value)).filter((entry): entry is [string, Record<string, unknown>] => isRecord(entry[1])))
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
