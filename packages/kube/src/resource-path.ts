import { groupPath, type Resource } from './discovery.ts'
import { KubeError } from './error.ts'

export interface PathParts {
  readonly apiVersion: string
  readonly resource: Resource
  /** Left out for objects that have none, and for all namespaces. */
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  readonly subresource?: string | undefined
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** The path of an object or a collection, each part encoded. Throws `Invalid` where a part would lead elsewhere. */
export function resourcePath(parts: PathParts, query: Query = {}): string {
  const segments = [groupPath(parts.apiVersion)]
  if (parts.resource.namespaced && parts.namespace !== undefined) segments.push('namespaces', segment(parts.namespace))
  segments.push(segment(parts.resource.plural))
  if (parts.name !== undefined) segments.push(segment(parts.name))
  if (parts.subresource !== undefined) segments.push(...parts.subresource.split('/').map(segment))
  return withQuery(segments.join('/'), query)
}

export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== '') search.append(key, String(value))
  return search.size > 0 ? `${path}${path.includes('?') ? '&' : '?'}${search.toString()}` : path
}

function segment(text: string): string {
  if (text === '' || text === '.' || text === '..' || text.length > 1024) {
    throw new KubeError('Invalid', `"${text.slice(0, 80)}" cannot be the name of an object. Correct metadata.name or namespace.`)
  }
  return encodeURIComponent(text)
}
