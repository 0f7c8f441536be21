import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { posix } from 'node:path'
import { type CallOptions, type ContentTarget, type Descriptor, OciError } from '@muster/oci'
import { nonRoot } from './base/accounts.ts'
import { buildBinary } from './binary/binary.ts'
import type { Tools } from './command.ts'
import type { BuildContext, BuiltContent, ImageSource } from './context.ts'
import { buildDebian } from './debian/debian.ts'
import { ImageError } from './errors.ts'
import { buildGo } from './go/go.ts'
import type { Layer } from './layer.ts'
import { buildNode } from './node/node.ts'
import { type Architecture, hostArchitecture } from './platform.ts'
import { type ImageRecipe, type ImageRecipeInput, recipeFrom } from './recipe.ts'

export interface BuildOptions {
  /** Where the image goes: blobs, then the manifest, tagged with the name. */
  readonly target: ContentTarget
  /** Layers, binaries and packages are kept here; any number of builds may share it. */
  readonly cacheDir: string
  /** Folder that paths in the recipe are relative to: the recipe's own. */
  readonly baseDir: string
  /** Takes the place of the recipe's name. */
  readonly name?: string
  /** Default: of this machine. */
  readonly architecture?: Architecture
  /** The one time in the image, in seconds since 1970. Default 0. */
  readonly sourceDateEpoch?: number
  /** Environment of the host's programs, of which they see a fixed part. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Programs that are not to be looked up on PATH. */
  readonly tools?: Tools
  /** Folder of the npm package that carries Node. Default: the one installed with Muster. */
  readonly nodePackageDir?: string
  readonly signal?: AbortSignal
  /** A line for a person: what is done now. */
  readonly onProgress?: (line: string) => void
}

export interface BuiltLayer {
  readonly title: string
  readonly digest: string
  readonly diffId: string
  /** Bytes as stored, and unpacked. */
  readonly size: number
  readonly tarSize: number
  /** Whether the target had it already. */
  readonly present: boolean
}

export interface BuiltImage {
  /** Of the manifest, tagged in the target as `name`. */
  readonly descriptor: Descriptor
  readonly name: string
  readonly recipe: ImageRecipe
  readonly layers: readonly BuiltLayer[]
  /** What it was made of. */
  readonly sources: readonly ImageSource[]
}

const manifestMediaType = 'application/vnd.oci.image.manifest.v1+json'
const configMediaType = 'application/vnd.oci.image.config.v1+json'

/**
 * Builds an image from source and puts it into the target. The same recipe, sources and tools give the same digest; the name is
 * not part of it.
 * @throws ImageError (any code); what the target throws; the signal's reason when aborted
 */
export async function buildImage(input: ImageRecipe | ImageRecipeInput, options: BuildOptions): Promise<BuiltImage> {
  const recipe = recipeFrom(input)
  const name = options.name ?? recipe.name
  if (name === undefined)
    throw new ImageError(
      'RecipeInvalid',
      'The image has no name. Give one in the recipe (name: registry.example/app:1.0), or where it is built.',
    )
  options.signal?.throwIfAborted()
  await mkdir(options.cacheDir, { recursive: true })
  const context: BuildContext = {
    baseDir: options.baseDir,
    cacheDir: options.cacheDir,
    architecture: options.architecture ?? hostArchitecture(),
    mtime: options.sourceDateEpoch ?? 0,
    tools: options.tools ?? {},
    env: options.env,
    nodePackageDir: options.nodePackageDir,
    signal: options.signal,
    log: options.onProgress ?? (() => undefined),
  }
  try {
    return await buildInto(options.target, name, recipe, context)
  } catch (error) {
    // What was interrupted says so in many ways; the caller's own reason counts.
    options.signal?.throwIfAborted()
    throw error
  }
}

async function buildInto(target: ContentTarget, name: string, recipe: ImageRecipe, context: BuildContext): Promise<BuiltImage> {
  const content = await buildContent(recipe, context)
  const call = { signal: context.signal }
  const layers: BuiltLayer[] = []
  for (const layer of content.layers) layers.push(await putLayer(target, layer, call))
  const config = encode(imageConfig(recipe, content, context))
  await putBytes(target, config.descriptor, config.bytes, call)
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestMediaType,
    config: config.descriptor,
    layers: content.layers.map(({ descriptor }) => descriptor),
  }
  const descriptor = await target.putManifest(Buffer.from(JSON.stringify(manifest)), manifestMediaType, { ...call, tag: name })
  context.log(`image ${name}: ${descriptor.digest}`)
  return { descriptor, name, recipe, layers, sources: content.sources }
}

function buildContent(recipe: ImageRecipe, context: BuildContext): Promise<BuiltContent> {
  if (recipe.go !== undefined) return buildGo(recipe.go, context)
  if (recipe.node !== undefined) return buildNode(recipe.node, context)
  if (recipe.binary !== undefined) return buildBinary(recipe.binary, context)
  if (recipe.debian !== undefined) return buildDebian(recipe.debian, context)
  throw new ImageError('RecipeInvalid', 'The recipe says neither go nor node nor binary nor debian.')
}

/** OCI image spec, config.md. Key order is part of the digest. */
function imageConfig(recipe: ImageRecipe, content: BuiltContent, context: BuildContext): unknown {
  const created = `${new Date(context.mtime * 1000).toISOString().slice(0, 19)}Z`
  const user = recipe.user ?? String(nonRoot)
  const env = Object.entries({ ...content.env, ...recipe.env }).map(([key, value]) => `${key}=${value}`)
  const labels = Object.entries({ ...content.labels, ...recipe.labels }).sort(([a], [b]) => (a < b ? -1 : 1))
  const ports = (recipe.ports ?? []).toSorted().map((port) => [port, {}])
  return {
    created,
    architecture: context.architecture,
    os: 'linux',
    config: {
      User: user.includes(':') ? user : `${user}:${user}`,
      ...(ports.length > 0 ? { ExposedPorts: Object.fromEntries(ports) } : {}),
      Env: env,
      Entrypoint: recipe.entrypoint ?? content.entrypoint,
      ...(recipe.args === undefined ? {} : { Cmd: recipe.args }),
      WorkingDir: posix.normalize(recipe.workdir ?? content.workdir),
      ...(labels.length > 0 ? { Labels: Object.fromEntries(labels) } : {}),
    },
    rootfs: { type: 'layers', diff_ids: content.layers.map(({ diffId }) => diffId) },
    history: content.layers.map(({ title }) => ({ created, created_by: `muster: ${title}` })),
  }
}

async function putLayer(target: ContentTarget, layer: Layer, call: CallOptions): Promise<BuiltLayer> {
  const present = await target.hasBlob(layer.descriptor, call)
  if (!present) {
    await target.putBlob(layer.descriptor, layer.open, call).catch(async (error: unknown) => {
      if (!(error instanceof OciError && (error.code === 'DigestMismatch' || error.code === 'SizeMismatch'))) throw error
      await layer.discard()
      throw new ImageError('SourceChanged', `The layer "${layer.title}" was damaged in the cache and is forgotten. Build again.`, {
        cause: error,
      })
    })
  }
  return {
    title: layer.title,
    digest: layer.descriptor.digest,
    diffId: layer.diffId,
    size: layer.descriptor.size,
    tarSize: layer.tarSize,
    present,
  }
}

async function putBytes(target: ContentTarget, descriptor: Descriptor, bytes: Uint8Array, call: CallOptions): Promise<void> {
  if (await target.hasBlob(descriptor, call)) return
  async function* content() {
    yield bytes
  }
  await target.putBlob(descriptor, content, call)
}

function encode(config: unknown): { bytes: Uint8Array; descriptor: Descriptor } {
  const bytes = Buffer.from(JSON.stringify(config))
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  return { bytes, descriptor: { mediaType: configMediaType, digest, size: bytes.length } }
}
