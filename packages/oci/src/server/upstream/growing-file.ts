import { EventEmitter } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import { writeAll } from '../../disk.ts'

const readBytes = 256 * 1024

/**
 * A file that some read while it is written. The last chunk is let out only by {@link finish}: who reads to the end has content that
 * was found right, and nobody has all of what was not.
 */
export class GrowingFile {
  readonly path: string
  readonly size: number
  readonly #handle: FileHandle
  readonly #changed = new EventEmitter().setMaxListeners(0)
  #written = 0
  #available = 0
  #ended = false
  #error: unknown
  #readers = 0

  private constructor(path: string, size: number, handle: FileHandle) {
    this.path = path
    this.size = size
    this.#handle = handle
  }

  static async create(path: string, size: number): Promise<GrowingFile> {
    return new GrowingFile(path, size, await open(path, 'wx+'))
  }

  async append(chunk: Uint8Array): Promise<void> {
    const start = this.#written
    const file = { write: (bytes: Uint8Array, offset: number) => this.#handle.write(bytes, offset, bytes.length - offset, start + offset) }
    await writeAll(file, chunk)
    this.#available = start
    this.#written = start + chunk.length
    this.#changed.emit('change')
  }

  async sync(): Promise<void> {
    await this.#handle.sync()
  }

  /** All of it is right. */
  async finish(): Promise<void> {
    this.#available = this.#written
    await this.#end(undefined)
  }

  /** Who reads gets this error. */
  async fail(error: unknown): Promise<void> {
    await this.#end(error ?? new Error('stopped'))
  }

  async *read(): AsyncGenerator<Uint8Array> {
    this.#readers += 1
    try {
      for (let at = 0; at < this.size; ) {
        if (this.#error !== undefined) throw this.#error
        if (at >= this.#available) {
          if (this.#ended) throw new Error('the file ended early')
          await new Promise((resolve) => this.#changed.once('change', resolve))
          continue
        }
        const bytes = Buffer.allocUnsafe(Math.min(readBytes, this.#available - at))
        const { bytesRead } = await this.#handle.read(bytes, 0, bytes.length, at)
        at += bytesRead
        yield bytes.subarray(0, bytesRead)
      }
    } finally {
      this.#readers -= 1
      await this.#closeUnused()
    }
  }

  async #end(error: unknown): Promise<void> {
    this.#ended = true
    this.#error = error
    this.#changed.emit('change')
    await this.#closeUnused()
  }

  async #closeUnused(): Promise<void> {
    if (this.#ended && this.#readers === 0) await this.#handle.close()
  }
}
