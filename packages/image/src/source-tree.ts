import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import { join, matchesGlob, posix, relative, resolve, sep } from 'node:path'
import { fileContent, folder, type LayerEntry } from './entry.ts'
import { ImageError } from './errors.ts'

export interface SourceTreeOptions {
  /** Folder that `from` is relative to and must stay in, links followed. */
  readonly root: string
  /** File or folder below root. */
  readonly from: string
  /** Where it goes, as a path in a layer (no leading slash; '' for the root). */
  readonly to: string
  /** Globs of paths relative to `from` that are left out; a folder left out is not entered. */
  readonly exclude?: readonly string[]
  readonly signal?: AbortSignal
}

/** A tree with more entries than this is a mistake (a home folder, a root). */
const entryLimit = 200_000

/**
 * Reads a file or folder as layer entries: modes 0644, or 0755 where the owner may execute; owner root; links kept when they
 * stay inside the tree.
 * @throws ImageError `SourceNotFound`, `PathOutside`
 */
export async function readSourceTree(options: SourceTreeOptions): Promise<LayerEntry[]> {
  const start = await insidePath(options.root, options.from)
  const entries: LayerEntry[] = []
  const visit = async (path: string, to: string): Promise<void> => {
    options.signal?.throwIfAborted()
    const inner = relative(start, path).split(sep).join('/')
    if (inner !== '' && options.exclude?.some((glob) => matchesGlob(inner, glob))) return
    if (entries.length >= entryLimit)
      throw new ImageError('Unsupported', `${start} has more than ${entryLimit} files. Name a smaller folder, or exclude some.`)
    const status = await lstat(path)
    if (status.isDirectory()) {
      if (to !== '') entries.push(folder(to))
      for (const name of (await readdir(path)).sort()) await visit(join(path, name), posix.join(to, name))
    } else if (status.isFile()) {
      const content = await fileContent(path, options.signal)
      entries.push({ kind: 'file', path: to, mode: status.mode & 0o100 ? 0o755 : 0o644, content })
    } else if (status.isSymbolicLink()) {
      const target = await readlink(path)
      if (!isInside(start, resolve(path, '..', target))) {
        throw new ImageError(
          'PathOutside',
          `${path} links to ${target}, which is outside of ${start} and would not be in the image. Replace the link by a copy, or exclude it.`,
        )
      }
      entries.push({ kind: 'symlink', path: to, target })
    }
    // Sockets, pipes and devices are no source.
  }
  await visit(start, options.to)
  return entries
}

/**
 * The real path of something in a folder.
 * @throws ImageError `SourceNotFound`, or `PathOutside` where a link leads out of the folder
 */
export async function insidePath(root: string, path: string): Promise<string> {
  const base = await real(root)
  const full = await real(join(base, path))
  if (!isInside(base, full)) throw new ImageError('PathOutside', `${path} leads out of ${root}. Name something inside of it.`)
  return full
}

async function real(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    throw new ImageError('SourceNotFound', `${path}, which the recipe names, is not there: ${(error as Error).message}.`, { cause: error })
  }
}

function isInside(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep)
}
