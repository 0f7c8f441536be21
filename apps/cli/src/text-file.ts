import { open } from 'node:fs/promises'
import { Failure, UsageError } from './errors.ts'

/** Larger files are nothing that a person wrote. */
const maxBytes = 4 * 1024 * 1024

/** @param what what the file is to be, for messages. @throws UsageError where it is far too large; Failure where it cannot be read */
export async function readTextFile(file: string, what: string): Promise<string> {
  try {
    const handle = await open(file)
    try {
      if ((await handle.stat()).size > maxBytes) throw new UsageError(`${file} is far too large for ${what}.`)
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause
    throw new Failure(`${file} cannot be read. Check the path.`, { cause })
  }
}
