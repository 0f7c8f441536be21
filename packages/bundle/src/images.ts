import { parseReference } from '@muster/oci'
import { BundleError } from './errors.ts'
import { type ImageRule, rulesFor } from './image-rules.ts'
import { describeObject, groupOf, isRecord, type KubeObjectLike } from './object.ts'

/** An image that an object names. */
export interface ImageField {
  /** As written, with digest where it has one. */
  readonly image: string
  /** Keys and positions that lead to it. */
  readonly path: readonly PropertyKey[]
}

/** Where the pod's spec is, by group and kind (versions share it). */
const podSpecs: ReadonlyMap<string, readonly string[]> = new Map([
  ['/Pod', ['spec']],
  ['/PodTemplate', ['template', 'spec']],
  ['/ReplicationController', ['spec', 'template', 'spec']],
  ['apps/Deployment', ['spec', 'template', 'spec']],
  ['apps/ReplicaSet', ['spec', 'template', 'spec']],
  ['apps/StatefulSet', ['spec', 'template', 'spec']],
  ['apps/DaemonSet', ['spec', 'template', 'spec']],
  ['batch/Job', ['spec', 'template', 'spec']],
  ['batch/CronJob', ['spec', 'jobTemplate', 'spec', 'template', 'spec']],
])
const containerLists = ['initContainers', 'containers', 'ephemeralContainers']

/**
 * All images that an object would run or mount: containers of every sort, and volumes of type image (PodSpec, core/v1); in custom
 * resources where rules say so, those that are known and `rules`.
 */
export function imagesOf(object: KubeObjectLike, rules: readonly ImageRule[] = []): ImageField[] {
  const group = groupOf(object)
  const way = podSpecs.get(`${group}/${object.kind}`)
  const found = way === undefined ? [] : podImages(object, way)
  for (const rule of rulesFor(group, object.kind, rules)) {
    for (const field of fieldsAt(object, rule.path, [])) {
      if (!found.some(({ path }) => path.join('\u0000') === field.path.join('\u0000'))) found.push(field)
    }
  }
  return found
}

/** Texts at a rule's path. What is no text, or empty, is no image. */
function fieldsAt(value: unknown, rest: readonly string[], path: readonly PropertyKey[]): ImageField[] {
  const [key, ...more] = rest
  if (key === undefined) return typeof value === 'string' && value !== '' ? [{ image: value, path }] : []
  if (key === '*') {
    if (Array.isArray(value)) return value.flatMap((item, at) => fieldsAt(item, more, [...path, at]))
    return isRecord(value) ? Object.entries(value).flatMap(([name, item]) => fieldsAt(item, more, [...path, name])) : []
  }
  return isRecord(value) && Object.hasOwn(value, key) ? fieldsAt(value[key], more, [...path, key]) : []
}

/** The pod's spec that an object of Kubernetes' own kinds holds. */
export function podSpecOf(object: KubeObjectLike): Record<string, unknown> | undefined {
  const way = podSpecs.get(`${groupOf(object)}/${object.kind}`)
  return way === undefined ? undefined : at(object, way)
}

/** Containers of every sort of a pod's spec. */
export function containersOf(spec: Record<string, unknown>): Record<string, unknown>[] {
  return containerLists.flatMap((list) => entriesOf(spec[list])).filter(isRecord)
}

function at(object: KubeObjectLike, way: readonly string[]): Record<string, unknown> | undefined {
  const spec = way.reduce<unknown>((value, key) => (isRecord(value) ? value[key] : undefined), object)
  return isRecord(spec) ? spec : undefined
}

function podImages(object: KubeObjectLike, way: readonly string[]): ImageField[] {
  const spec = at(object, way)
  if (spec === undefined) return []
  const found: ImageField[] = []
  for (const list of containerLists) {
    entriesOf(spec[list]).forEach((container, at) => {
      if (isRecord(container) && typeof container['image'] === 'string')
        found.push({ image: container['image'], path: [...way, list, at, 'image'] })
    })
  }
  entriesOf(spec['volumes']).forEach((volume, at) => {
    const source = isRecord(volume) ? volume['image'] : undefined
    if (isRecord(source) && typeof source['reference'] === 'string') {
      found.push({ image: source['reference'], path: [...way, 'volumes', at, 'image', 'reference'] })
    }
  })
  return found
}

function entriesOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** The object with its images replaced; the one given is left as it is. */
export function withImages(object: KubeObjectLike, replace: (image: string) => string, rules: readonly ImageRule[] = []): KubeObjectLike {
  const fields = imagesOf(object, rules)
  if (fields.length === 0) return object
  const copy = structuredClone(object)
  for (const { image, path } of fields) {
    let holder: unknown = copy
    for (const key of path.slice(0, -1))
      holder = Array.isArray(holder) ? holder[Number(key)] : isRecord(holder) ? holder[String(key)] : undefined
    if (Array.isArray(holder)) holder[Number(path.at(-1))] = replace(image)
    else if (isRecord(holder)) holder[String(path.at(-1))] = replace(image)
  }
  return copy
}

/** An image name taken apart, its text kept as it is written. */
export interface WrittenImage {
  /** With tag, without digest. */
  readonly name: string
  /** Without tag and digest. */
  readonly repository: string
  readonly digest?: string
  /** The repository as engines complete it: `docker.io/library/nginx` for `nginx`. */
  readonly fullRepository: string
}

/**
 * @param where begins the message
 * @throws BundleError `ManifestInvalid`
 */
export function readImage(text: string, where: string): WrittenImage {
  try {
    const { host, repository, tag, digest } = parseReference(text)
    const name = text.split('@')[0] ?? text
    return {
      name,
      repository: tag === undefined ? name : name.slice(0, -tag.length - 1),
      ...(digest === undefined ? {} : { digest }),
      fullRepository: `${host}/${repository}`,
    }
  } catch (cause) {
    throw new BundleError('ManifestInvalid', `${where}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
}

/** Every image of an object, taken apart. @throws BundleError `ManifestInvalid` naming the object */
export function readImages(object: KubeObjectLike, where: string, rules: readonly ImageRule[] = []): WrittenImage[] {
  return imagesOf(object, rules).map(({ image }) => readImage(image, `${where} (${describeObject(object)})`))
}
