import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { storageError } from '../disk.ts'
import { OciError } from '../errors.ts'
import { flock } from '../flock.ts'

/**
 * Takes a directory for this process until `close`, or until the process dies, however it dies.
 * @throws OciError `Storage` when another server has it, in this process or another
 */
export async function lockDirectory(directory: string): Promise<{ close(): Promise<void> }> {
  const path = join(directory, 'lock')
  let handle: FileHandle | undefined
  try {
    handle = await open(path, 'a+')
    if (!(await flock(handle, path))) {
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
