import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { posix } from 'node:path'
import { ImageError } from './errors.ts'

/** The bytes of a file in a layer: held in memory, or read from disk when the layer is written. `sha256` is hex. */
export type FileContent =
  | { readonly bytes: Uint8Array; readonly sha256: string; readonly size: number }
  | { readonly file: string; readonly sha256: string; readonly size: number }

interface Ownership {
  /** Numeric owner and group, root when absent. */
  readonly uid?: number
  readonly gid?: number
}

export interface FileEntry extends Ownership {
  readonly kind: 'file'
  /** Relative to the root of the image, without a leading slash. */
  readonly path: string
  readonly mode: number
  readonly content: FileContent
}

export interface DirectoryEntry extends Ownership {
  readonly kind: 'directory'
  readonly path: string
  readonly mode: number
}

export interface SymlinkEntry extends Ownership {
  readonly kind: 'symlink'
  readonly path: string
  readonly target: string
}

/** One thing in a layer. Times are not part of it: a layer has one time for all. */
export type LayerEntry = FileEntry | DirectoryEntry | SymlinkEntry

/** Content held in memory. */
export function bytesContent(data: Uint8Array | string): FileContent {
  const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data
  return { bytes, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** Content on disk: read once here for its checksum, and again, checked, when a layer is written. */
export async function fileContent(file: string, signal?: AbortSignal): Promise<FileContent> {
  const hash = createHash('sha256')
  let size = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, ...(signal ? { signal } : {}) })) {
    hash.update(chunk as Buffer)
    size += (chunk as Buffer).length
  }
  return { file, size, sha256: hash.digest('hex') }
}

/** The folders that are not plain 0755 root in our bases: a layer that repeats one must not change it. */
const ownFolders: ReadonlyMap<string, { mode: number; uid: number; gid: number }> = new Map([
  ['tmp', { mode: 0o1777, uid: 0, gid: 0 }],
  ['var/tmp', { mode: 0o1777, uid: 0, gid: 0 }],
  ['root', { mode: 0o700, uid: 0, gid: 0 }],
  ['home/nonroot', { mode: 0o700, uid: 65532, gid: 65532 }],
])

/** A folder with the mode and owner that our bases give it. */
export function folder(path: string): DirectoryEntry {
  return { kind: 'directory', path, ...(ownFolders.get(path) ?? { mode: 0o755 }) }
}

/**
 * Brings entries into the one order in which they are written: by the bytes of their paths, each folder before what is in it,
 * missing folders added. A later entry of the same path replaces an earlier one.
 * @throws ImageError `RecipeInvalid` for a path that is empty, absolute or leaves the root
 */
export function arrange(entries: Iterable<LayerEntry>): LayerEntry[] {
  const byPath = new Map<string, LayerEntry>()
  for (const entry of entries) {
    checkPath(entry.path)
    byPath.set(entry.path, entry)
  }
  for (const path of [...byPath.keys()]) {
    for (let parent = posix.dirname(path); parent !== '.'; parent = posix.dirname(parent)) {
      const present = byPath.get(parent)
      if (present === undefined) byPath.set(parent, folder(parent))
      else if (present.kind !== 'directory') {
        throw new ImageError(
          'RecipeInvalid',
          `/${path} cannot be in the image: /${parent} is a ${present.kind} there. Give one of them another path.`,
        )
      }
    }
  }
  const keyed = [...byPath.values()].map((entry) => ({ entry, key: Buffer.from(entry.path) }))
  keyed.sort((a, b) => Buffer.compare(a.key, b.key))
  return keyed.map(({ entry }) => entry)
}

function checkPath(path: string): void {
  const clean =
    path !== '' && !path.startsWith('/') && !path.includes('\0') && posix.normalize(path) === path && path.split('/')[0] !== '..'
  if (!clean || path === '.' || path.endsWith('/')) {
    throw new ImageError(
      'RecipeInvalid',
      `${JSON.stringify(path)} is no path inside an image. Write it from the root, without "..", "//" or a slash at its end.`,
    )
  }
}

/** `/a/b` as it is written in a layer: `a/b`. The path comes from a recipe, which has checked it to be absolute. */
export function inLayer(absolutePath: string): string {
  return posix.normalize(absolutePath).replace(/^\/+|\/+$/g, '')
}
