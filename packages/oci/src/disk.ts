import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { OciError } from './errors.ts'

/** The system's name of a file error, such as ENOENT. */
export function errno(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Whether an error says that the disk, or the quota on it, is used up. */
export function isDiskFull(error: unknown): boolean {
  const code = errno(error instanceof OciError ? error.cause : error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** Makes a directory and the ones above it, each entry on disk before it is relied upon. */
export async function ensureDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true })
  if (first === undefined) return
  for (let made = directory; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made))
}

/**
 * The file work of a process runs on four threads (libuv), and a sync holds one until the disk has all of a file: reading and writing go
 * on beside so many.
 */
const parallelSyncs = 2
let syncs = 0
const waitingSyncs: (() => void)[] = []

/** Puts the bytes of a file on disk. */
export async function syncData(handle: { datasync(): Promise<void> }): Promise<void> {
  if (syncs < parallelSyncs) syncs += 1
  else await new Promise<void>((turn) => waitingSyncs.push(turn))
  try {
    await handle.datasync()
  } finally {
    // The turn goes to who waits, or back.
    const next = waitingSyncs.shift()
    if (next === undefined) syncs -= 1
    else next()
  }
}

/** By directory: the sync that has not begun yet, which serves all who ask meanwhile. */
const nextSyncs = new Map<string, Promise<void>>()
const runningSyncs = new Map<string, Promise<void>>()

/** Puts the entries of a directory on disk: a rename is durable only after this. Who asks while it is synced shares the next turn. */
export function syncDirectory(directory: string): Promise<void> {
  const joined = nextSyncs.get(directory)
  if (joined !== undefined) return joined
  const running = runningSyncs.get(directory)
  if (running === undefined) return runSync(directory)
  const turn = (): Promise<void> => {
    nextSyncs.delete(directory)
    return runSync(directory)
  }
  const next = running.then(turn, turn)
  nextSyncs.set(directory, next)
  return next
}

function runSync(directory: string): Promise<void> {
  const done = syncNow(directory).finally(() => {
    if (runningSyncs.get(directory) === done) runningSyncs.delete(directory)
  })
  runningSyncs.set(directory, done)
  return done
}

async function syncNow(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Moves a complete, synced file to its place: after a crash there is the old file or the new one. */
export async function place(temporary: string, path: string): Promise<void> {
  await ensureDirectory(dirname(path))
  await rename(temporary, path)
  await syncDirectory(dirname(path))
}

/** Writes a small file so that after a crash there is the old content or the new, never a part. */
export async function writeAtomic(path: string, bytes: Uint8Array, temporaryDirectory: string): Promise<void> {
  await writeStreamAtomic(
    path,
    (async function* () {
      yield bytes
    })(),
    temporaryDirectory,
  )
}

/** Writes a stream to a file that appears only when all of it is on disk; nothing is left when the stream throws. */
export async function writeStreamAtomic(path: string, content: AsyncIterable<Uint8Array>, temporaryDirectory: string): Promise<void> {
  const temporary = join(temporaryDirectory, randomUUID())
  try {
    const handle = await open(temporary, 'wx')
    try {
      for await (const chunk of content) await writeAll(handle, chunk)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await place(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw storageError(error, path)
  }
}

/** `write` may write less than asked. */
export async function writeAll(
  handle: { write(bytes: Uint8Array, offset: number): Promise<{ bytesWritten: number }> },
  bytes: Uint8Array,
): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await handle.write(bytes, at)).bytesWritten
}

/** A file in memory, or undefined when there is none. @throws OciError `TooLarge`, `Storage` */
export async function readBounded(path: string, limit: number): Promise<Uint8Array | undefined> {
  try {
    const handle = await open(path, 'r')
    try {
      const { size } = await handle.stat()
      if (size > limit) throw new OciError('TooLarge', `${path} has ${size} bytes; at most ${limit} are read here.`)
      return await handle.readFile()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return undefined
    throw storageError(error, path)
  }
}

/** Names the file of a disk error; anything else passes as it is. */
export function storageError(error: unknown, path: string): unknown {
  const code = errno(error)
  if (error instanceof OciError || code === undefined || !/^E[A-Z0-9]+$/.test(code)) return error
  return new OciError('Storage', `${path} could not be written or read (${code}). Check the disk's space and rights.`, { cause: error })
}
