import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type * as z from 'zod'
import { HostError } from './errors.ts'

/** Nothing that this package reads back is larger. */
const readLimit = 4 * 1024 * 1024

/** Writes a file so that a reader, or a machine that loses power, sees the old or the new content and never a part. Mode 0600 unless said. */
export async function writeAtomic(path: string, content: string, mode = 0o600): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.pid}.new`
  const file = await open(temporary, 'w', mode)
  try {
    await file.writeFile(content)
    await file.chmod(mode)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** As `writeAtomic`, but leaves a file alone that already holds the content. True when it was written. */
export async function writeIfChanged(path: string, content: string, mode = 0o600): Promise<boolean> {
  if ((await readText(path)) === content) return false
  await writeAtomic(path, content, mode)
  return true
}

/** The content of a file, or undefined when there is none. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    const text = await readFile(path, 'utf8')
    if (text.length > readLimit) throw new HostError('StateUnreadable', `${path} is larger than ${readLimit} bytes; it is not ours.`)
    return text
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Reads a JSON file that this package wrote, checked against its schema; undefined when there is none.
 * @throws HostError `StateUnreadable`
 */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readText(path)
  if (text === undefined) return undefined
  try {
    return schema.parse(JSON.parse(text))
  } catch (cause) {
    throw new HostError(
      'StateUnreadable',
      `${path} does not hold what the host wrote; restore it, or forget the state with --purge.`,
      cause,
    )
  }
}

export async function remove(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')
}
