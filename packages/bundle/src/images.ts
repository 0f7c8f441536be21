import { parseReference } from '@muster/oci'
import { BundleError } from './errors.ts'
import { describeObject, isRecord, type KubeObjectLike } from './object.ts'

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

/** All images that an object would run or mount: containers of every sort, and volumes of type image (PodSpec, core/v1). */
export function imagesOf(object: KubeObjectLike): ImageField[] {
  const slash = object.apiVersion.indexOf('/')
  const group = slash < 0 ? '' : object.apiVersion.slice(0, slash)
  const way = podSpecs.get(`${group}/${object.kind}`)
  if (way === undefined) return []
  const spec = way.reduce<unknown>((value, key) => (isRecord(value) ? value[key] : undefined), object)
  if (!isRecord(spec)) return []
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
export function withImages(object: KubeObjectLike, replace: (image: string) => string): KubeObjectLike {
  const fields = imagesOf(object)
  if (fields.length === 0) return object
  const copy = structuredClone(object)
  for (const { image, path } of fields) {
    let holder: unknown = copy
    for (const key of path.slice(0, -1))
      holder = Array.isArray(holder) ? holder[Number(key)] : isRecord(holder) ? holder[String(key)] : undefined
    if (isRecord(holder)) holder[String(path.at(-1))] = replace(image)
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
export function readImages(object: KubeObjectLike, where: string): WrittenImage[] {
  return imagesOf(object).map(({ image }) => readImage(image, `${where} (${describeObject(object)})`))
}
