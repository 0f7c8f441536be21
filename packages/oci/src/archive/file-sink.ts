import { constants, type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ensureDirectory, errno, storageError, syncDirectory, writeAll } from '../disk.ts'
import { OciError } from '../errors.ts'
import { flock } from '../flock.ts'
import type { Sink, Start } from './sink.ts'
import { type Frame, frameBytes } from './zstd.ts'

const openFlags = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW
const attempts = 5

/**
 * One file that appears when it is whole. Until then it is `FILE.partial`, in frames, each written after the one before: whatever ends the
 * process, the next run finds a beginning of the archive. One process at a time has it.
 */
export class FileSink implements Sink {
  readonly #file: string
  readonly #partial: string
  readonly #handle: FileHandle
  #frames = 0
  #isPlaced = false

  private constructor(file: string, partial: string, handle: FileHandle) {
    this.#file = file
    this.#partial = partial
    this.#handle = handle
  }

  /** @throws OciError `Storage`, also when another process has it */
  static async open(file: string): Promise<FileSink> {
    const partial = `${file}.partial`
    try {
      await ensureDirectory(dirname(file))
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const handle = await open(partial, openFlags)
        if (await isOwn(handle, partial)) return new FileSink(file, partial, handle)
        await handle.close()
      }
    } catch (error) {
      throw storageError(error, partial)
    }
    throw taken(file)
  }

  /** What is there at `offset`, as much as fits. */
  async read(into: Uint8Array, offset: number): Promise<number> {
    let filled = 0
    while (filled < into.length) {
      const { bytesRead } = await this.#handle.read(into, filled, into.length - filled, offset + filled).catch((error: unknown) => {
        throw storageError(error, this.#partial)
      })
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return filled
  }

  /** Leaves what is there up to `start`, and goes on there. */
  async goOn({ frames }: Start): Promise<void> {
    this.#frames = frames.length
    await this.#handle.truncate(frames.reduce((sum, { compressed }) => sum + compressed, 0)).catch((error: unknown) => {
      throw storageError(error, this.#partial)
    })
  }

  async write(bytes: Uint8Array, { size }: Frame): Promise<void> {
    await writeAll(this.#handle, bytes).catch((error: unknown) => {
      throw storageError(error, this.#partial)
    })
    if (size === frameBytes) this.#frames += 1
  }

  /** Makes it visible. The file that it is in. */
  async finish(): Promise<string[]> {
    try {
      await this.#handle.sync()
      // Still its own: who comes later sees that the name is another's.
      await rename(this.#partial, this.#file)
      this.#isPlaced = true
      await this.#handle.close()
      await syncDirectory(dirname(this.#file))
    } catch (error) {
      throw storageError(error, this.#file)
    }
    return [this.#file]
  }

  /** Gives up, and leaves what a later run can go on from. */
  async abandon(): Promise<void> {
    if (!this.#isPlaced && this.#frames === 0) await rm(this.#partial, { force: true })
    await this.#handle.close().catch(() => {})
  }
}

/** Takes it; false where it was finished or given up in between, by the process that had it. Then there is a new file to open. */
async function isOwn(handle: FileHandle, partial: string): Promise<boolean> {
  try {
    const mine = await handle.stat()
    if (!mine.isFile()) throw new OciError('Storage', `${partial} is not a file. Move it away, or write to another name.`)
    if (!(await flock(handle, partial))) throw taken(partial.slice(0, -'.partial'.length))
    const named = await stat(partial)
    return named.ino === mine.ino && named.dev === mine.dev
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    await handle.close()
    throw error
  }
}

function taken(file: string): OciError {
  return new OciError('Storage', `${file} is being written by another process. Wait until that is done, or write to another name.`)
}
