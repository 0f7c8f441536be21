import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type * as z from 'zod'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { semanticVersion } from './format.ts'
import { type HealthRule, plainRules } from './health.ts'
import { type ImageRule, imageRule } from './image-rules.ts'
import type { BundleParameter, BundleSiteOverlays } from './parameter.ts'
import { apiVersion, type ComponentData, type ImageData, kind, sourceSchema } from './source-schema.ts'

/** Where an image of the bundle comes from. */
export type ImageOrigin =
  /** An image.yaml that is built. */
  | { readonly build: string }
  /** An OCI image layout on disk. */
  | { readonly layout: string }
  /** An image in a registry, `host/path:tag` or with a digest. */
  | { readonly reference: string }

/** An entry of `images:`: which names it answers for, and where they come from. Paths are absolute. */
export interface ImageSource {
  /** A name without tag and digest; `*` stands for any text, slashes included. */
  readonly match: string
  readonly origin: ImageOrigin
  /** `file:line:column`, for messages. */
  readonly position: string
}

/** A Helm chart and what it is rendered with. */
export interface HelmSource {
  /** A folder or a packed chart; or `reference`, an OCI reference. */
  readonly chart?: string
  readonly reference?: string
  /** `.Release.Name`. Default: the component's name. */
  readonly release: string
  /** `.Release.Namespace`. Default: the bundle's name, which is where `place` puts it by itself. */
  readonly namespace: string
  /** Over those of `valuesFiles`. */
  readonly values: Readonly<Record<string, unknown>>
  readonly valuesFiles: readonly string[]
  /** `.Capabilities.KubeVersion` */
  readonly kubeVersion: string
  /** `.Capabilities.APIVersions` beside those of Kubernetes itself. */
  readonly apiVersions: readonly string[]
}

/** An imgpkg bundle: a folder, or an OCI reference; of its files, those that hold manifests (default: all). */
export interface ImgpkgSource {
  readonly dir?: string
  readonly reference?: string
  readonly manifests?: readonly string[]
}

/** A bundle that is included, by digest. */
export interface NestedSource {
  readonly name: string
  readonly digest: string
  readonly origin: { readonly reference: string } | { readonly layout: string }
  /** `file:line:column`, for messages. */
  readonly position: string
}

export type ComponentSource =
  | { readonly name: string; readonly manifests: readonly string[] }
  | { readonly name: string; readonly kustomize: string }
  | { readonly name: string; readonly helm: HelmSource }
  | { readonly name: string; readonly imgpkg: ImgpkgSource }

/** A bundle.yaml that was read and checked. */
export interface BundleSource {
  readonly file: string
  /** Where paths of images begin. */
  readonly dir: string
  readonly name: string
  readonly version: string
  readonly description?: string
  /** The Go module whose folder component paths begin at, `path@version`, and its checksum as in go.sum. */
  readonly module?: { readonly goModule: string; readonly sum?: string }
  readonly components: readonly ComponentSource[]
  readonly bundles: readonly NestedSource[]
  readonly images: readonly ImageSource[]
  /** Where custom resources name images, beside what is known already. */
  readonly imageFields: readonly ImageRule[]
  /** How its custom resources are judged. */
  readonly health: readonly HealthRule[]
  readonly parameters: readonly BundleParameter[]
  readonly siteOverlays?: BundleSiteOverlays | undefined
}

export const bundleFileName = 'bundle.yaml'

/**
 * Reads bundle.yaml.
 * @param where the file, or the folder that holds bundle.yaml
 * @param version instead of the one that the file says
 * @throws BundleError `SourceInvalid`, its message begins with file:line:column
 */
export async function loadSource(where: string, version?: string): Promise<BundleSource> {
  const file = await sourceFile(resolve(where))
  const source = parseSource(await readSource(file), file)
  if (version === undefined) return source
  if (!semanticVersion.safeParse(version).success)
    throw new BundleError('SourceInvalid', `"${version}" is no version. Give one as semver.org defines it, such as 1.2.3.`)
  return { ...source, version }
}

async function sourceFile(where: string): Promise<string> {
  const found = await stat(where).catch(() => undefined)
  return found?.isDirectory() === true ? join(where, bundleFileName) : where
}

async function readSource(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new BundleError('SourceInvalid', `${file} cannot be read. A bundle's folder holds a ${bundleFileName} that says what is in it.`, {
      cause,
    })
  }
}

/**
 * The pure part of {@link loadSource}.
 * @throws BundleError `SourceInvalid`
 */
export function parseSource(text: string, file: string): BundleSource {
  const documents = readDocuments(text, { file, code: 'SourceInvalid' })
  const [document] = documents
  if (document === undefined)
    throw new BundleError('SourceInvalid', `${file} is empty. It must have apiVersion: ${apiVersion} and kind: ${kind}.`)
  if (documents.length > 1) throw new BundleError('SourceInvalid', `${documents[1]?.position()}: a bundle's file has one document.`)
  const checked = sourceSchema.safeParse(document.value)
  if (!checked.success) throw refusal(checked.error, (at) => document.position(at))
  const data = checked.data
  const dir = dirname(file)
  const taken = new Set<string>()
  data.components.forEach((component, at) => {
    if (taken.has(component.name)) {
      throw new BundleError(
        'SourceInvalid',
        `${document.position(['components', at, 'name'])}: two components are named ${component.name}.`,
      )
    }
    taken.add(component.name)
  })
  if (data.source !== undefined) refuseLeaving(data.components, (at) => document.position(at))
  return {
    file,
    dir,
    name: data.name,
    version: data.version,
    ...(data.description === undefined ? {} : { description: data.description }),
    ...(data.source === undefined
      ? {}
      : { module: { goModule: data.source.goModule, ...(data.source.sum === undefined ? {} : { sum: data.source.sum }) } }),
    components: data.components.map((component) => componentOf(component, data.name)),
    bundles: data.bundles.map(({ name, digest, reference, layout }, at) => ({
      name,
      digest,
      origin: layout === undefined ? { reference: reference ?? '' } : { layout: resolve(dir, layout) },
      position: document.position(['bundles', at]),
    })),
    imageFields: data.imageFields.map(imageRule),
    health: plainRules(data.health),
    parameters: data.parameters,
    ...(data.siteOverlays === undefined ? {} : { siteOverlays: data.siteOverlays }),
    images: data.images.map((image, at) => ({
      match: image.match,
      origin: originOf(image, dir),
      position: document.position(['images', at]),
    })),
  }
}

function componentOf({ name, manifests, kustomize, helm, imgpkg }: ComponentData, bundle: string): ComponentSource {
  if (kustomize !== undefined) return { name, kustomize }
  if (imgpkg !== undefined) return { name, imgpkg: defined(imgpkg) }
  if (helm === undefined) return { name, manifests: manifests ?? [] }
  return { name, helm: { ...defined(helm), release: helm.release ?? name, namespace: helm.namespace ?? bundle } }
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without the keys that stand there as undefined. */
function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>
}

function originOf(image: ImageData, dir: string): ImageOrigin {
  if (image.build !== undefined) return { build: resolve(dir, image.build) }
  if (image.layout !== undefined) return { layout: resolve(dir, image.layout) }
  return { reference: image.reference ?? '' }
}

/** A module is somebody else's: its bundle must not take in files that lie beside it. */
function refuseLeaving(components: readonly ComponentData[], position: (path: PropertyKey[]) => string): void {
  components.forEach((component, at) => {
    for (const [field, paths] of [
      ['kustomize', [component.kustomize]],
      ['manifests', component.manifests ?? []],
      ['helm', [component.helm?.chart, ...(component.helm?.valuesFiles ?? [])]],
      ['imgpkg', [component.imgpkg?.dir, ...(component.imgpkg?.manifests ?? [])]],
    ] as const) {
      if (paths.some((text) => text?.split('/').includes('..') === true)) {
        throw new BundleError('SourceInvalid', `${position(['components', at, field])}: a path in a Go module must not contain "..".`)
      }
    }
  })
}

function refusal(error: z.ZodError, position: (path: readonly PropertyKey[]) => string): BundleError {
  const lines = error.issues.slice(0, 10).map((issue) => {
    const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path
    const field = path.map(String).join('.')
    return `${position(path)}: ${field === '' ? '' : `${field}: `}${issue.message}`
  })
  return new BundleError('SourceInvalid', lines.join('\n'), { cause: error })
}

/** Whether an image name (without tag and digest) is one that `match` answers for. */
export function matchesImage(match: string, name: string): boolean {
  const parts = match.split('*')
  const [first = ''] = parts
  const last = parts.at(-1) ?? ''
  if (parts.length === 1) return match === name
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= name.length - last.length
}
