import { BundleError } from './errors.ts'

/** A Kubernetes object as a manifest gives it: what every object has, checked; the rest as it came. */
export interface KubeObjectLike {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
  [key: string]: unknown
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How an object is named in messages: `Deployment shop/web`. */
export function describeObject(object: KubeObjectLike): string {
  const { name, namespace } = object.metadata
  return `${object.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
}

/** Of its API; '' for the core group. */
export function groupOf(object: KubeObjectLike): string {
  const slash = object.apiVersion.indexOf('/')
  return slash < 0 ? '' : object.apiVersion.slice(0, slash)
}

/** What makes two objects the same one to an API server: group (not version), kind, namespace, name. Sorts in a stable order. */
export function identityOf(object: KubeObjectLike): string {
  return [groupOf(object), object.kind, object.metadata.namespace ?? '', object.metadata.name].join('\u0000')
}

const apiVersionPattern = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?[a-z0-9][a-z0-9-]{0,62}$/
const kindPattern = /^[A-Za-z][A-Za-z0-9]{0,62}$/
const namespacePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Checks what every object must have.
 * @param where begins the message: file, document, line
 * @throws BundleError `ManifestInvalid`
 */
export function checkObject(value: unknown, where: string): KubeObjectLike {
  if (!isRecord(value)) throw invalid(where, 'is not a Kubernetes object but a plain value or a list')
  const { apiVersion, kind, metadata } = value
  if (typeof apiVersion !== 'string' || !apiVersionPattern.test(apiVersion)) throw invalid(where, 'has no valid apiVersion')
  if (typeof kind !== 'string' || !kindPattern.test(kind)) throw invalid(where, 'has no valid kind')
  if (!isRecord(metadata)) throw invalid(where, `(${kind}) has no metadata`)
  const { name, namespace } = metadata
  if (metadata['generateName'] !== undefined) {
    throw invalid(
      where,
      `(${kind}) has metadata.generateName: an object that gets another name each time cannot be kept. Give it metadata.name`,
    )
  }
  if (typeof name !== 'string' || name === '') throw invalid(where, `(${kind}) has no metadata.name`)
  if (!isObjectName(name)) throw invalid(where, `(${kind}) has a metadata.name that no API server takes: "${name.slice(0, 260)}"`)
  if (namespace !== undefined && (typeof namespace !== 'string' || !namespacePattern.test(namespace))) {
    throw invalid(where, `(${kind} ${name}) has a metadata.namespace that is not a namespace name`)
  }
  const labels = stringMap(metadata['labels'], 'labels', where, `${kind} ${name}`)
  const annotations = stringMap(metadata['annotations'], 'annotations', where, `${kind} ${name}`)
  return {
    ...value,
    apiVersion,
    kind,
    metadata: {
      ...metadata,
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
  }
}

/** A name is a path segment of the API (apimachinery, "path segment name"). */
function isObjectName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return name.length <= 253 && name !== '.' && name !== '..' && !/[/%\u0000-\u0020\u007f]/.test(name)
}

function stringMap(value: unknown, field: string, where: string, what: string): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined
  if (!isRecord(value)) throw invalid(where, `(${what}) has metadata.${field} that is not a map`)
  return Object.fromEntries(
    Object.entries(value).map(([key, text]): [string, string] => {
      if (typeof text !== 'string') throw invalid(where, `(${what}) has metadata.${field}["${key}"] that is not a string. Quote it`)
      return [key, text]
    }),
  )
}

function invalid(where: string, why: string): BundleError {
  return new BundleError('ManifestInvalid', `${where} ${why}.`)
}
