import { OciError } from '../errors.ts'
import { type Descriptor, readDescriptor } from '../manifest.ts'

/** The annotation in index.json that names what it lists (image-spec, "Annotations"). */
export const refName = 'org.opencontainers.image.ref.name'
export const layoutVersion = '1.0.0'
export const maximumIndexBytes = 16 * 1024 * 1024

/** The entries of an index.json. @throws OciError `InvalidJson`, `InvalidManifest` */
export function readIndexFile(bytes: Uint8Array, where: string): { entries: Descriptor[]; annotations: Record<string, string> } {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OciError('InvalidJson', `${where} is not JSON. The layout is damaged; make it again.`, { cause })
  }
  const index: Record<string, unknown> = typeof json === 'object' && json !== null ? { ...json } : {}
  const { manifests, annotations } = index
  if (!Array.isArray(manifests)) throw new OciError('InvalidManifest', `${where} has no "manifests". The layout is damaged; make it again.`)
  const texts = Object.entries(typeof annotations === 'object' && annotations !== null ? annotations : {})
  return {
    entries: manifests.map((entry, at) => readDescriptor(entry, `manifests[${at}] of ${where}`)),
    annotations: Object.fromEntries(texts.filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
  }
}

/** What a layout's index.json calls `name`. */
export function named(entries: readonly Descriptor[], name: string): Descriptor | undefined {
  return entries.find((entry) => entry.annotations?.[refName] === name)
}

/** The names that people gave; lists of referrers, and what cosign hangs on a digest by a tag, are not among them. */
export function tagNames(entries: readonly Descriptor[]): string[] {
  const names = entries.map((entry) => entry.annotations?.[refName])
  return names.filter((name): name is string => name !== undefined && !/^sha256-[0-9a-f]{64}(?:\.[a-z]+)?$/.test(name))
}

/** The version that an `oci-layout` file states, or undefined when it states none. */
export function layoutVersionOf(bytes: Uint8Array): unknown {
  try {
    const json: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof json === 'object' && json !== null && 'imageLayoutVersion' in json ? json.imageLayoutVersion : undefined
  } catch {
    return undefined
  }
}
