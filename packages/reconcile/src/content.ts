import { KubeError, type KubeObject } from '@muster/kube'
import { type ClusterApi, calling } from './cluster.ts'
import { isRecord } from './fields.ts'
import { groupKind, nameOf } from './identity.ts'

/** Kinds that come and go with others, or that nobody misses. */
const passing: ReadonlySet<string> = new Set([
  'Event',
  'Event.events.k8s.io',
  'Endpoints',
  'EndpointSlice.discovery.k8s.io',
  'Lease.coordination.k8s.io',
])

/** What Kubernetes puts into every namespace. */
const furniture: ReadonlySet<string> = new Set(['ServiceAccount default', 'ConfigMap kube-root-ca.crt'])

interface Kind {
  readonly apiVersion: string
  readonly kind: string
  /** `/apis/apps/v1` */
  readonly root: string
  readonly plural: string
  /** Of its collections: `/apis/apps/v1/namespaces/shop/deployments`. */
  readonly path: (namespace: string) => string
}

/**
 * Names objects in a namespace that would be lost with it: of every kind that can be listed and deleted, those that nothing owns, that
 * are not being deleted, and that Kubernetes did not put there itself.
 * @param atMost how many are named; the search ends there
 * @throws KubeError where a part of the API does not answer: then nobody knows what is in it
 */
export async function contentOf(api: ClusterApi, namespace: string, atMost: number, signal: AbortSignal | undefined): Promise<string[]> {
  const found: string[] = []
  for (const kind of await namespacedKinds(api, signal)) {
    for await (const name of lastingNames(api, kind, namespace, signal)) {
      if (furniture.has(`${groupKind(kind)} ${name}`)) continue
      found.push(nameOf({ ...kind, namespace, name }))
      if (found.length >= atMost) return found
    }
  }
  return found
}

async function namespacedKinds(api: ClusterApi, signal: AbortSignal | undefined): Promise<Kind[]> {
  const groups = records(await api.raw('GET', '/apis', calling(signal)), 'groups')
  const versions = groups.flatMap((group) => records(group, 'versions').map((version) => String(version['groupVersion'])))
  const kinds = new Map<string, Kind>()
  for (const apiVersion of ['v1', ...versions]) {
    const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
    const answer = await unlessGone(api, root, undefined, async () => api.raw('GET', root, calling(signal)), signal)
    for (const { name, kind, namespaced, verbs } of answer === undefined ? [] : records(answer, 'resources')) {
      if (typeof name !== 'string' || typeof kind !== 'string' || name.includes('/') || namespaced !== true) continue
      if (!Array.isArray(verbs) || !verbs.includes('list') || !verbs.includes('delete')) continue
      const key = groupKind({ apiVersion, kind })
      // One version of a kind shows all objects of it.
      if (passing.has(key) || kinds.has(key)) continue
      const path = (namespace: string): string => `${root}/namespaces/${encodeURIComponent(namespace)}/${name}`
      kinds.set(key, { apiVersion, kind, root, plural: name, path })
    }
  }
  return [...kinds.values()]
}

/**
 * Names custom resources of a definition that would be lost with it.
 * @param atMost how many are named
 * @throws KubeError where the API server cannot say
 */
export async function customResourcesOf(
  api: ClusterApi,
  definition: KubeObject,
  atMost: number,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const spec = isRecord(definition['spec']) ? definition['spec'] : {}
  const names = isRecord(spec['names']) ? spec['names'] : {}
  const version = records(spec, 'versions').find(({ served }) => served === true)?.['name']
  const root = `/apis/${String(spec['group'])}/${String(version)}`
  const plural = String(names['plural'])
  const ask = async () =>
    api.raw('GET', `${root}/${plural}`, { headers: { accept: metadataOnly }, query: { limit: pageSize }, ...calling(signal) })
  const page = await unlessGone(api, root, plural, ask, signal)
  const items = page === undefined ? [] : records(page, 'items').map(({ metadata }) => (isRecord(metadata) ? metadata : {}))
  return items
    .filter((metadata) => metadata['deletionTimestamp'] === undefined)
    .slice(0, atMost)
    .map(({ namespace, name }) => `${String(names['kind'])} ${typeof namespace === 'string' ? `${namespace}/` : ''}${String(name)}`)
}

/** Only the metadata: a Secret's content is nobody's business here. */
const metadataOnly = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json'

const pageSize = 100

async function* lastingNames(
  api: ClusterApi,
  { path, root, plural }: Kind,
  namespace: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void> {
  let next = ''
  do {
    const query = { limit: pageSize, continue: next }
    const ask = async () => api.raw('GET', path(namespace), { headers: { accept: metadataOnly }, query, ...calling(signal) })
    const page = await unlessGone(api, root, plural, ask, signal)
    if (page === undefined) return
    for (const { metadata } of records(page, 'items')) {
      if (!isRecord(metadata) || metadata['deletionTimestamp'] !== undefined) continue
      const owners = metadata['ownerReferences']
      if (Array.isArray(owners) && owners.length > 0) continue
      yield String(metadata['name'])
    }
    const more = isRecord(page) && isRecord(page['metadata']) ? page['metadata']['continue'] : undefined
    next = typeof more === 'string' ? more : ''
  } while (next !== '')
}

/**
 * Undefined where what was asked is not served any more: then there is nothing of it either. A page that is not found says no such thing,
 * as long as the server tells that it serves this.
 */
async function unlessGone(
  api: ClusterApi,
  root: string,
  plural: string | undefined,
  ask: () => Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 404 || root === '/api/v1') throw error
    const groups = records(await api.raw('GET', '/apis', calling(signal)), 'groups')
    const listed = groups.some((group) => records(group, 'versions').some(({ groupVersion }) => `/apis/${String(groupVersion)}` === root))
    if (!listed) return undefined
    if (plural === undefined) throw error
    const resources = records(await api.raw('GET', root, calling(signal)), 'resources')
    if (resources.some(({ name }) => name === plural)) throw error
    return undefined
  }
}

/** A list in an answer. What is no such answer must not read as "there is nothing". */
function records(answer: unknown, field: string): Record<string, unknown>[] {
  const value = isRecord(answer) ? answer[field] : undefined
  // An empty list may be written as null.
  if (value === null) return []
  if (Array.isArray(value)) return value.filter(isRecord)
  throw new KubeError('BadResponse', `The server answered without ${field}. Check that the address is that of an API server.`)
}
