import { type FileHandle, open } from 'node:fs/promises'
import { storageError } from '../disk.ts'
import { OciError } from '../errors.ts'

/** Bytes that can be read from anywhere: a file, several that follow each other, or what is compressed in them. */
export interface RandomBytes {
  /** In bytes. */
  readonly size: number
  /** Exactly `length` bytes from `offset` on. @throws OciError `Storage` where there are not as many */
  read(offset: number, length: number): Promise<Uint8Array>
  /** The same in chunks, for what is long. */
  stretch(offset: number, length: number, signal?: AbortSignal): AsyncIterable<Uint8Array>
  close(): Promise<void>
}

const chunkBytes = 512 * 1024

interface OpenFile {
  readonly path: string
  /** Where it starts in the whole. */
  readonly start: number
  readonly size: number
  readonly handle: FileHandle
}

/** Files one after another, as if they were one. */
export class FileBytes implements RandomBytes {
  readonly size: number
  readonly #files: readonly OpenFile[]

  private constructor(files: readonly OpenFile[]) {
    this.#files = files
    this.size = files.reduce((total, file) => total + file.size, 0)
  }

  /** @throws OciError `NotFound`, `Storage` */
  static async open(paths: readonly string[]): Promise<FileBytes> {
    const files: OpenFile[] = []
    try {
      let start = 0
      for (const path of paths) {
        const handle = await open(path, 'r')
        files.push({ path, start, size: 0, handle })
        const found = await handle.stat()
        if (!found.isFile())
          throw new OciError('Storage', `${path} is not a file. An archive is one; a layout in a folder is written oci:DIR.`)
        files[files.length - 1] = { path, start, size: found.size, handle }
        start += found.size
      }
      return new FileBytes(files)
    } catch (error) {
      await Promise.all(files.map(({ handle }) => handle.close()))
      throw storageError(error, paths[files.length] ?? paths[0] ?? 'the archive')
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const result = Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const { path, start, size, handle } of this.#files) {
      while (at < length && offset + at >= start && offset + at < start + size) {
        const want = Math.min(length - at, start + size - offset - at)
        const { bytesRead } = await handle.read(result, at, want, offset + at - start).catch((error: unknown) => {
          throw storageError(error, path)
        })
        if (bytesRead === 0) throw new OciError('Storage', `${path} became shorter while it was read.`)
        at += bytesRead
      }
    }
    if (at < length) throw new OciError('Storage', `There is nothing at byte ${offset + at} of an archive of ${this.size} bytes.`)
    return result
  }

  async *stretch(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < length; at += chunkBytes) {
      signal?.throwIfAborted()
      yield await this.read(offset + at, Math.min(chunkBytes, length - at))
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map(({ handle }) => handle.close()))
  }
}
