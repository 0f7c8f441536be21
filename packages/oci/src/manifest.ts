import { isDigest } from './digest.ts'
import { OciError } from './errors.ts'

/** Names content: image-spec, "OCI Content Descriptors". `size` is in bytes. */
export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  annotations?: Record<string, string>
  artifactType?: string
  platform?: Platform
  urls?: string[]
}

/** image-spec, "OCI Image Index", `platform` */
export interface Platform {
  architecture: string
  os: string
  variant?: string
  'os.version'?: string
  'os.features'?: string[]
}

export const mediaTypes = {
  imageManifest: 'application/vnd.oci.image.manifest.v1+json',
  imageIndex: 'application/vnd.oci.image.index.v1+json',
  imageConfig: 'application/vnd.oci.image.config.v1+json',
  layerTar: 'application/vnd.oci.image.layer.v1.tar',
  layerTarGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerTarZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  empty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
} as const

/** Manifests and indexes are read up to this many bytes (distribution-spec, "Pushing Manifests", asks for at least 4 MiB). */
export const maximumManifestBytes = 4 * 1024 * 1024

const kinds: ReadonlyMap<string, 'image' | 'index'> = new Map([
  [mediaTypes.imageManifest, 'image'],
  [mediaTypes.dockerManifest, 'image'],
  [mediaTypes.imageIndex, 'index'],
  [mediaTypes.dockerManifestList, 'index'],
])

export const manifestMediaTypes: readonly string[] = [...kinds.keys()]

/** Whether content of this media type is a manifest or an index, kept under `manifests/` and not `blobs/`. */
export function isManifestType(mediaType: string): boolean {
  return kinds.has(mediaType)
}

/** Layers that registries need not have (image-spec, "Non-Distributable Layers"; Docker's "foreign" layers). */
function isDistributable({ mediaType }: Descriptor): boolean {
  return !/^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.|docker\.image\.rootfs\.foreign\.)/.test(mediaType)
}

/** A manifest or index, checked. */
export interface Manifest {
  readonly kind: 'image' | 'index'
  readonly mediaType: string
  /** Blobs that must exist first: config, layers that may be distributed, and what an index holds that is no manifest. */
  readonly blobs: readonly Descriptor[]
  /** Manifests that must exist first: an index's children. */
  readonly manifests: readonly Descriptor[]
  readonly config?: Descriptor
  readonly layers: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly artifactType?: string
  readonly annotations?: Record<string, string>
}

/**
 * Reads and checks a manifest or index. `mediaType` is what the transport said; where both are known they must agree
 * (a body read as two kinds is how content is confused).
 * @throws OciError `InvalidManifest`, `Unsupported` (another media type), `TooLarge`
 */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  if (bytes.length > maximumManifestBytes) {
    throw new OciError('TooLarge', `A manifest of ${bytes.length} bytes is over the limit of ${maximumManifestBytes}.`)
  }
  const json = parseObject(bytes)
  if (json['schemaVersion'] !== 2) throw invalid('its schemaVersion is not 2')
  const inside = json['mediaType']
  if (inside !== undefined && typeof inside !== 'string') throw invalid('its mediaType is not a string')
  if (inside !== undefined && mediaType !== undefined && inside !== mediaType) throw invalid(`it says ${inside} and came as ${mediaType}`)
  const type = inside ?? mediaType ?? ('manifests' in json ? mediaTypes.imageIndex : mediaTypes.imageManifest)
  const kind = kinds.get(type)
  if (kind === undefined)
    throw new OciError(
      'Unsupported',
      `"${type.slice(0, 200)}" is not a manifest type that is supported. Convert it to an OCI image manifest or index.`,
    )
  if (kind === 'image' && 'manifests' in json) throw invalid('an image manifest has "manifests"')
  if (kind === 'index' && ('layers' in json || 'config' in json)) throw invalid('an index has "layers" or "config"')
  const subject = json['subject'] === undefined ? undefined : readDescriptor(json['subject'], 'subject')
  const artifactType = optionalString(json['artifactType'], 'artifactType')
  const annotations = readAnnotations(json['annotations'], 'annotations')
  const common = {
    mediaType: type,
    ...(subject === undefined ? {} : { subject }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
  if (kind === 'index') {
    const children = readDescriptors(json['manifests'], 'manifests')
    return {
      ...common,
      kind,
      layers: [],
      manifests: children.filter((child) => isManifestType(child.mediaType)),
      blobs: children.filter((child) => !isManifestType(child.mediaType)),
    }
  }
  const config = readDescriptor(json['config'], 'config')
  const layers = readDescriptors(json['layers'], 'layers')
  return { ...common, kind, config, layers, manifests: [], blobs: [config, ...layers.filter(isDistributable)] }
}

/** The descriptor under which a manifest is listed for its subject (distribution-spec, "Listing Referrers"). */
export function referrerDescriptor(descriptor: Descriptor, manifest: Manifest): Descriptor {
  const artifactType = manifest.artifactType ?? manifest.config?.mediaType
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  }
}

/** @throws OciError `InvalidManifest` */
export function readDescriptor(value: unknown, where: string): Descriptor {
  if (!isRecord(value)) throw invalid(`${where} is not a descriptor`)
  const { mediaType, digest, size } = value
  if (typeof mediaType !== 'string' || mediaType === '' || mediaType.length > 255) throw invalid(`${where}.mediaType is not a media type`)
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${where}.digest is not a sha256 digest`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(`${where}.size is not a number of bytes`)
  const annotations = readAnnotations(value['annotations'], `${where}.annotations`)
  const artifactType = optionalString(value['artifactType'], `${where}.artifactType`)
  const platform = readPlatform(value['platform'], `${where}.platform`)
  const urls = optionalStrings(value['urls'], `${where}.urls`)
  return {
    mediaType,
    digest,
    size,
    ...(annotations === undefined ? {} : { annotations }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(platform === undefined ? {} : { platform }),
    ...(urls === undefined ? {} : { urls }),
  }
}

function readDescriptors(value: unknown, where: string): Descriptor[] {
  if (!Array.isArray(value)) throw invalid(`it has no "${where}"`)
  return value.map((entry, at) => readDescriptor(entry, `${where}[${at}]`))
}

function readPlatform(value: unknown, where: string): Platform | undefined {
  if (value === undefined) return undefined
  if (!isRecord(value)) throw invalid(`${where} is not an object`)
  const { architecture, os } = value
  if (typeof architecture !== 'string' || typeof os !== 'string') throw invalid(`${where} lacks architecture or os`)
  const variant = optionalString(value['variant'], `${where}.variant`)
  const version = optionalString(value['os.version'], `${where}.os.version`)
  const features = optionalStrings(value['os.features'], `${where}.os.features`)
  return {
    architecture,
    os,
    ...(variant === undefined ? {} : { variant }),
    ...(version === undefined ? {} : { 'os.version': version }),
    ...(features === undefined ? {} : { 'os.features': features }),
  }
}

function readAnnotations(value: unknown, where: string): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined
  if (!isRecord(value)) throw invalid(`${where} is not an object`)
  const entries = Object.entries(value).map(([key, text]): [string, string] => {
    if (typeof text !== 'string') throw invalid(`${where}["${key.slice(0, 100)}"] is not a string`)
    return [key, text]
  })
  return Object.fromEntries(entries)
}

function optionalString(value: unknown, where: string): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw invalid(`${where} is not a string`)
  return value === '' ? undefined : value
}

function optionalStrings(value: unknown, where: string): string[] | undefined {
  if (value === undefined || value === null) return undefined
  if (!Array.isArray(value)) throw invalid(`${where} is not a list of strings`)
  return value.map((entry: unknown, at) => {
    if (typeof entry !== 'string') throw invalid(`${where}[${at}] is not a string`)
    return entry
  })
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OciError('InvalidManifest', 'This is not a manifest: it is not JSON in UTF-8.', { cause })
  }
  if (!isRecord(json)) throw invalid('it is not a JSON object')
  return json
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(why: string): OciError {
  return new OciError('InvalidManifest', `This is not a valid manifest: ${why}. Build it again.`)
}
