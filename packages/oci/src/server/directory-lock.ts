import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { storageError } from '../disk.ts'
import { OciError } from '../errors.ts'

/**
 * Takes a directory for this process until `close`. The lock is flock(2) on an open file, so that the kernel gives it up when the
 * process dies, however it dies. Node has no call for it: `flock` of util-linux takes it on the file handle that it inherits.
 * @throws OciError `Storage` when another server has it, in this process or another
 */
export async function lockDirectory(directory: string): Promise<{ close(): Promise<void> }> {
  const path = join(directory, 'lock')
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'a+')
    if (!(await flock(handle))) {
      const owner = (await handle.readFile('utf8')).trim().slice(0, 20)
      const who = /^[0-9]+$/.test(owner) ? ` (process ${owner})` : ''
      throw new OciError(
        'Storage',
        `${directory} is used by another registry server${who}, and only one may. Stop that one, or give this one a directory of its own.`,
      )
    }
    await handle.truncate()
    await handle.write(`${process.pid}\n`)
    return handle
  } catch (error) {
    await handle?.close()
    throw storageError(error, path)
  }
}

async function flock(handle: FileHandle): Promise<boolean> {
  const child = spawn('flock', ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', handle.fd] })
  try {
    const [code] = (await once(child, 'close')) as [number | null]
    return code === 0
  } catch (cause) {
    throw new OciError('Storage', 'The registry cannot lock its directory: the program flock did not start. Install util-linux.', { cause })
  }
}
