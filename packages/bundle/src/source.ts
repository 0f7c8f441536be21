import { readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import * as z from 'zod'
import { readDocuments } from './documents.ts'
import { BundleError } from './errors.ts'
import { bundleName, semanticVersion } from './format.ts'
import { limits } from './limits.ts'

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

export type ComponentSource =
  | { readonly name: string; readonly manifests: readonly string[] }
  | { readonly name: string; readonly kustomize: string }

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
  readonly images: readonly ImageSource[]
}

export const bundleFileName = 'bundle.yaml'
const apiVersion = 'muster.dev/v1alpha1'
const kind = 'BundleSource'

const dnsLabel = z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, 'must be lower-case letters, digits and -, at most 63')
const path = z
  .string()
  .min(1)
  .max(1024)
  .refine((text) => !text.startsWith('/') && !text.includes('\u0000'), 'must be a relative path')
const goModulePattern = /^[A-Za-z0-9][A-Za-z0-9.~_/-]{0,200}@v[0-9][A-Za-z0-9.+-]{0,120}$/

const componentSchema = z
  .strictObject({ name: dnsLabel, manifests: z.array(path).min(1).max(1000).optional(), kustomize: path.optional() })
  .refine((value) => (value.manifests === undefined) !== (value.kustomize === undefined), 'needs exactly one of manifests and kustomize')

const imageSchema = z
  .strictObject({
    match: z.string().regex(/^[A-Za-z0-9*][A-Za-z0-9._/:*-]{0,400}$/, 'must be an image name without tag, in which * stands for any text'),
    build: path.optional(),
    layout: path.optional(),
    reference: z.string().min(1).max(512).optional(),
  })
  .refine(
    (value) => [value.build, value.layout, value.reference].filter((one) => one !== undefined).length === 1,
    'needs exactly one of build, layout and reference',
  )

const sourceSchema = z.strictObject({
  apiVersion: z.literal(apiVersion),
  kind: z.literal(kind),
  name: bundleName,
  version: semanticVersion,
  description: z.string().max(1000).optional(),
  source: z
    .strictObject({
      goModule: z.string().regex(goModulePattern, 'must be a Go module and its version: path@v1.2.3'),
      sum: z
        .string()
        .regex(/^h1:[A-Za-z0-9+/]{43}=$/, 'must be a checksum as in go.sum: h1:…')
        .optional(),
    })
    .optional(),
  components: z.array(componentSchema).min(1).max(limits.components),
  images: z.array(imageSchema).max(1000).default([]),
})

/**
 * Reads bundle.yaml.
 * @param where the file, or the folder that holds bundle.yaml
 * @throws BundleError `SourceInvalid`, its message begins with file:line:column
 */
export async function loadSource(where: string): Promise<BundleSource> {
  const file = await sourceFile(resolve(where))
  return parseSource(await readSource(file), file)
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
    components: data.components.map(({ name, manifests, kustomize }) =>
      kustomize === undefined ? { name, manifests: manifests ?? [] } : { name, kustomize },
    ),
    images: data.images.map((image, at) => ({
      match: image.match,
      origin: originOf(image, dir),
      position: document.position(['images', at]),
    })),
  }
}

function originOf(image: z.infer<typeof imageSchema>, dir: string): ImageOrigin {
  if (image.build !== undefined) return { build: resolve(dir, image.build) }
  if (image.layout !== undefined) return { layout: resolve(dir, image.layout) }
  return { reference: image.reference ?? '' }
}

/** A module is somebody else's: its bundle must not take in files that lie beside it. */
function refuseLeaving(components: readonly z.infer<typeof componentSchema>[], position: (path: PropertyKey[]) => string): void {
  components.forEach((component, at) => {
    for (const [field, paths] of [
      ['kustomize', component.kustomize === undefined ? [] : [component.kustomize]],
      ['manifests', component.manifests ?? []],
    ] as const) {
      if (paths.some((text) => text.split('/').includes('..'))) {
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
