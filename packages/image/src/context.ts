import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Tools } from './command.ts'
import type { LayerEntry } from './entry.ts'
import { type Layer, makeLayer } from './layer.ts'
import type { Architecture } from './platform.ts'

/** What every part of one build works with. */
export interface BuildContext {
  /** Folder that paths of the recipe are relative to. */
  readonly baseDir: string
  readonly cacheDir: string
  readonly architecture: Architecture
  /** Seconds since 1970: the one time in the image. */
  readonly mtime: number
  readonly tools: Tools
  /** The caller's environment; host programs see only the part of it that `toolEnvironment` passes on. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder of the npm package that carries Node; undefined: the one installed beside this package. */
  readonly nodePackageDir: string | undefined
  readonly signal: AbortSignal | undefined
  readonly log: (line: string) => void
}

/** Where an image came from, for provenance. */
export type ImageSource =
  | { readonly kind: 'go-module'; readonly name: string; readonly version: string /** go.sum hash, `h1:…` */; readonly sum: string }
  | { readonly kind: 'debian-package'; readonly name: string; readonly version: string; readonly sha256: string }
  | { readonly kind: 'npm-package'; readonly name: string; readonly version: string }

/** What a recipe kind gives: layers from the base up, and defaults that the recipe may override. */
export interface BuiltContent {
  readonly layers: readonly Layer[]
  readonly entrypoint: readonly string[]
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly sources: readonly ImageSource[]
}

export function layerOf(context: BuildContext, title: string, entries: Iterable<LayerEntry>): Promise<Layer> {
  return makeLayer(entries, {
    cacheDir: context.cacheDir,
    mtime: context.mtime,
    title,
    ...(context.signal ? { signal: context.signal } : {}),
  })
}

/** A folder that is gone when `use` ends. It lies in the cache, so that what is made in it can be moved into place. */
export async function withTemporaryFolder<T>(context: Pick<BuildContext, 'cacheDir'>, use: (dir: string) => Promise<T>): Promise<T> {
  const parent = join(context.cacheDir, 'tmp')
  await mkdir(parent, { recursive: true })
  const dir = await mkdtemp(join(parent, 'build-'))
  try {
    return await use(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
