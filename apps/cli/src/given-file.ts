import { open } from 'node:fs/promises'
import { UsageError } from './errors.ts'

export interface GivenFile {
  /** What it is to be, for messages: `a Placement`, or the option that names it. */
  readonly what: string
  /** In bytes. */
  readonly limit?: number
}

/** Larger files are nothing that a person wrote. */
const defaultLimit = 4 * 1024 * 1024

/**
 * Reads a file that the command line names, `-` for standard input, up to a size. The command was given it, so what is wrong with it is wrong
 * usage: nothing of an instance, and no finding of the command.
 * @throws UsageError
 */
export async function readGivenFile(file: string, { what, limit = defaultLimit }: GivenFile): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    const handle = await open(file === '-' ? '/dev/stdin' : file)
    try {
      for await (const chunk of handle.createReadStream({ autoClose: false })) {
        chunks.push(chunk as Buffer)
        size += (chunk as Buffer).length
        if (size > limit) break
      }
    } finally {
      await handle.close()
    }
  } catch (cause) {
    throw new UsageError(`${nameOf(file)} cannot be read (${what}): ${whyNot(cause)}`, { cause })
  }
  if (size > limit) throw new UsageError(`${nameOf(file)} is larger than ${limit} bytes, and was not read (${what}).`)
  return Buffer.concat(chunks)
}

export async function readGivenText(file: string, given: GivenFile): Promise<string> {
  return (await readGivenFile(file, given)).toString('utf8')
}

function nameOf(file: string): string {
  return file === '-' ? 'Standard input' : file
}

function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'ENOENT':
      return 'there is no such file. Check the path.'
    case 'ENOTDIR':
      return 'a part of its path is no folder. Check the path.'
    case 'EISDIR':
      return 'it is a folder. Give a file in it.'
    case 'EACCES':
    case 'EPERM':
      return 'this user may not read it. Mend its permissions, or run the command as somebody who may.'
    default:
      return message
  }
}
