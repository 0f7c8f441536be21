import { readdir, readFile, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { withoutServerFields } from './canonical.ts'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { limits } from './limits.ts'
import { checkObject, describeObject, identityOf, isRecord, type KubeObjectLike } from './object.ts'

/** An object and where it was read, for messages. */
export interface ManifestObject {
  readonly object: KubeObjectLike
  /** `file, document 2 (line 31)` */
  readonly where: string
}

const manifestFile = /\.(?:ya?ml|json)$/
const maximumFiles = 20_000

/**
 * Reads the objects of files and folders; folders with all below them. Hidden files are left out.
 * @param base what names in messages are relative to
 * @throws BundleError `ManifestInvalid`, `TooLarge`
 */
export async function readManifests(paths: readonly string[], base: string): Promise<ManifestObject[]> {
  const files: string[] = []
  for (const path of paths) files.push(...(await manifestFiles(path, base)))
  const objects: ManifestObject[] = []
  for (const file of [...new Set(files)].sort()) {
    const name = relative(base, file) || file
    const { size } = await stat(file)
    if (size > limits.sourceFileBytes)
      throw new BundleError('TooLarge', `${name} is larger than ${limits.sourceFileBytes} bytes. Split it.`)
    objects.push(...parseManifests(await readFile(file, 'utf8'), name))
    if (objects.length > limits.objects)
      throw new BundleError('TooLarge', `More than ${limits.objects} objects were found. Make several bundles.`)
  }
  return objects
}

async function manifestFiles(path: string, base: string): Promise<string[]> {
  const name = relative(base, path) || path
  const found = await stat(path).catch((cause: unknown) => {
    throw new BundleError('ManifestInvalid', `${name} cannot be read: there is no such file or folder, or it is not allowed.`, { cause })
  })
  if (!found.isDirectory()) return [path]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  if (entries.length > maximumFiles) throw new BundleError('TooLarge', `${name} holds more than ${maximumFiles} files.`)
  const files = entries
    .filter((entry) => manifestFile.test(entry.name) && !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (file) =>
        !relative(path, file)
          .split('/')
          .some((part) => part.startsWith('.')),
    )
  if (files.length === 0) throw new BundleError('ManifestInvalid', `${name} holds no .yaml, .yml or .json file.`)
  return files
}

/**
 * Reads all objects of a file: YAML documents or JSON, kinds that are lists taken apart.
 * @param file its name, for messages
 * @throws BundleError `ManifestInvalid`, `TooLarge`
 */
export function parseManifests(text: string, file: string): ManifestObject[] {
  return readDocuments(text, { file, code: 'ManifestInvalid' }).flatMap((document) => {
    const where = `${file}, document ${document.number} (line ${document.line})`
    return flatten(document.value, where, 0).map((entry) => ({
      object: withoutServerFields(checkObject(entry.value, entry.where)),
      where: entry.where,
    }))
  })
}

/** `List` and the typed lists that `kubectl get` writes become their items. */
function flatten(value: unknown, where: string, depth: number): { value: unknown; where: string }[] {
  if (!isRecord(value) || !isList(value)) {
    if (isRecord(value) && value['kind'] === 'Kustomization' && String(value['apiVersion'] ?? '').startsWith('kustomize.config.k8s.io/')) {
      throw new BundleError(
        'ManifestInvalid',
        `${where} is a kustomization. Name its folder as kustomize: in bundle.yaml, not under manifests.`,
      )
    }
    return [{ value, where }]
  }
  if (depth > 8) throw new BundleError('ManifestInvalid', `${where} has lists in lists, more than 8 deep.`)
  const items: unknown[] = Array.isArray(value['items']) ? value['items'] : []
  return items.flatMap((item, at) => flatten(item, `${where}, item ${at + 1}`, depth + 1))
}

function isList(value: Record<string, unknown>): boolean {
  const { kind, metadata } = value
  if (typeof kind !== 'string' || !kind.endsWith('List') || !Array.isArray(value['items'])) return false
  return !isRecord(metadata) || metadata['name'] === undefined
}

/**
 * @throws BundleError `DuplicateObject` naming both places
 */
export function refuseDuplicates(objects: readonly ManifestObject[]): void {
  const seen = new Map<string, ManifestObject>()
  for (const entry of objects) {
    const identity = identityOf(entry.object)
    const first = seen.get(identity)
    if (first !== undefined) {
      throw new BundleError(
        'DuplicateObject',
        `${describeObject(entry.object)} is there twice: ${first.where} and ${entry.where}. Remove one.`,
      )
    }
    seen.set(identity, entry)
  }
}

/** In the order of their identities, whatever files they came from. */
export function inOrder(objects: readonly ManifestObject[]): ManifestObject[] {
  return objects
    .map((entry) => ({ entry, identity: identityOf(entry.object) }))
    .sort((a, b) => (a.identity < b.identity ? -1 : a.identity > b.identity ? 1 : 0))
    .map(({ entry }) => entry)
}

/**
 * Reads objects as an API server gives them, each as it is: lists taken apart, status and all. Unlike a manifest they may have had their
 * name made for them.
 * @param file its name, for messages
 * @throws BundleError `ManifestInvalid`, `TooLarge`
 */
export function parseLiveObjects(text: string, file: string): KubeObjectLike[] {
  return readDocuments(text, { file, code: 'ManifestInvalid' }).flatMap((document) =>
    flatten(document.value, `${file}, document ${document.number} (line ${document.line})`, 0).map(({ value, where }) => {
      const { apiVersion, kind, metadata } = isRecord(value) ? value : {}
      const named = isRecord(metadata) && typeof metadata['name'] === 'string'
      if (typeof apiVersion !== 'string' || typeof kind !== 'string' || !named)
        throw new BundleError('ManifestInvalid', `${where} is no Kubernetes object: it needs apiVersion, kind and metadata.name.`)
      return value as KubeObjectLike
    }),
  )
}
