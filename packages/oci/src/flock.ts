import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { OciError } from './errors.ts'

const heldByOthers = 1

/**
 * Takes a file for this process until its handle is closed (flock(2)): the kernel gives it up when the process dies, however it dies.
 * Node has no call for it: `flock` of util-linux takes it on the handle that it inherits.
 * @returns false where others have it
 * @throws OciError `Storage` where it cannot be locked
 */
export async function flock(handle: FileHandle, path: string): Promise<boolean> {
  const child = spawn('flock', ['-x', '-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', handle.fd] })
  let code: number | null
  try {
    code = ((await once(child, 'close')) as [number | null])[0]
  } catch (cause) {
    throw new OciError('Storage', `${path} cannot be locked: the program flock did not start. Install util-linux.`, { cause })
  }
  if (code === 0 || code === heldByOthers) return code === 0
  throw new OciError('Storage', `${path} cannot be locked: flock ended with ${code ?? 'a signal'}. Write to a file system that has locks.`)
}
