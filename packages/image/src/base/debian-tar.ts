import { posix } from 'node:path'
import { unpackTar } from 'modern-tar'
import { bytesContent, type LayerEntry } from '../entry.ts'
import { ImageError } from '../errors.ts'

/**
 * The content of a Debian package as layer entries: owner root, modes 0644 and 0755, paths merged into /usr. Hard links become
 * files. Anything else (devices, pipes) is no part of a package that we take.
 * @throws ImageError `BuildFailed` for a tar that is damaged or has paths outside of the root
 */
export async function readDebianTar(tar: Uint8Array): Promise<LayerEntry[]> {
  const files = new Map<string, LayerEntry>()
  const unpacked = await unpackTar(tar, { strict: true }).catch((cause: unknown) => {
    throw new ImageError(
      'BuildFailed',
      `A Debian package cannot be unpacked: ${(cause as Error).message}. Delete it from the cache and build again.`,
      { cause },
    )
  })
  for (const { header, data } of unpacked) {
    const path = cleanPath(header.name)
    if (path === '') continue
    switch (header.type) {
      case 'directory':
        files.set(path, { kind: 'directory', path, mode: 0o755 })
        break
      case 'symlink':
        files.set(path, { kind: 'symlink', path, target: header.linkname ?? '' })
        break
      case 'link': {
        const original = files.get(cleanPath(header.linkname ?? ''))
        if (original?.kind !== 'file')
          throw new ImageError('BuildFailed', `A Debian package links /${path} to ${header.linkname}, which it does not have.`)
        files.set(path, { ...original, path })
        break
      }
      case 'file':
      case undefined:
        files.set(path, {
          kind: 'file',
          path,
          mode: (header.mode ?? 0) & 0o100 ? 0o755 : 0o644,
          content: bytesContent(data ?? new Uint8Array()),
        })
        break
      default:
        break
    }
  }
  return [...files.values()]
}

function cleanPath(name: string): string {
  const path = posix.normalize(name).replace(/^\/+|\/+$/g, '')
  if (path === '..' || path.startsWith('../'))
    throw new ImageError('BuildFailed', `A Debian package has the path ${JSON.stringify(name)}, outside of the root. It is not taken.`)
  return path === '.' ? '' : usrMerged(path)
}

/** `lib/x` as `usr/lib/x`: on a merged base /bin, /lib, /lib64 and /sbin are links, and a layer that had them as folders would replace the links. */
export function usrMerged(path: string): string {
  return /^(bin|sbin|lib|lib32|lib64|libx32)(\/|$)/.test(path) ? `usr/${path}` : path
}
