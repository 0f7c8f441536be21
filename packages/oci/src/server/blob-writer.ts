import type { Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { syncData, writeAll } from '../disk.ts'
import { blocks } from './blocks.ts'

/** The disk begins to take what came when there is so much of it: what is left when the last byte has come is little to wait for. */
const syncEveryBytes = 16 * 1024 * 1024

/**
 * Writes what comes to a file in large blocks: while one is on its way to the disk, it is hashed and the next one is filled. Two blocks
 * at most are held. After a failure nothing more is written, and every call throws it.
 */
export class BlobWriter {
  readonly #handle: FileHandle
  readonly #hash: Hash | undefined
  readonly #onWritten: (bytes: number) => void
  #size: number
  #written: number
  #synced: number
  #block: Uint8Array | undefined
  #filled = 0
  /** The block that is written now, and the ones before it. */
  #writing: Promise<void> = Promise.resolve()
  #handing: Promise<void> = Promise.resolve()
  #syncing: Promise<void> = Promise.resolve()
  #isSyncing = false
  #failed = false

  /**
   * @param hash is told of every byte, `start` bytes before this were told to it already
   * @param onWritten is told how far the file goes, in bytes
   */
  constructor(handle: FileHandle, start: number, hash: Hash | undefined, onWritten: (bytes: number) => void) {
    this.#handle = handle
    this.#size = start
    this.#written = start
    this.#synced = start
    this.#hash = hash
    this.#onWritten = onWritten
  }

  /** Whether the disk failed. */
  get failed(): boolean {
    return this.#failed
  }

  /** How many bytes the file will have with all that came. */
  get size(): number {
    return this.#size
  }

  /** Takes bytes; waits while the disk is behind. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      this.#block ??= blocks.take()
      const part = bytes.subarray(at, at + this.#block.length - this.#filled)
      this.#block.set(part, this.#filled)
      this.#filled += part.length
      this.#size += part.length
      at += part.length
      if (this.#filled === this.#block.length) await this.#hand()
    }
  }

  /** Writes all that came so far. */
  async flush(): Promise<void> {
    await this.#hand()
    await this.#writing
  }

  /** Writes all that came, and waits for what is under way. The writer is of no more use. */
  async end(): Promise<void> {
    try {
      await this.flush()
    } finally {
      await this.#syncing
    }
  }

  /** Begins to write the block that was filled, when the one before is written. */
  #hand(): Promise<void> {
    const [block, filled] = [this.#block, this.#filled]
    if (block === undefined) return this.#handing
    this.#block = undefined
    this.#filled = 0
    this.#handing = this.#begin(this.#handing, block, filled)
    // Whoever adds or ends next is told; nobody may be waiting now.
    this.#handing.catch(() => {})
    return this.#handing
  }

  async #begin(before: Promise<void>, block: Uint8Array, filled: number): Promise<void> {
    try {
      await before
      await this.#writing
    } catch (error) {
      blocks.giveBack(block)
      throw error
    }
    const bytes = block.subarray(0, filled)
    this.#writing = this.#write(bytes).finally(() => blocks.giveBack(block))
    this.#noteFailure(this.#writing)
    // On this thread, while another one writes.
    this.#hash?.update(bytes)
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const start = this.#written
    await writeAll({ write: (part, offset) => this.#handle.write(part, offset, part.length - offset, start + offset) }, bytes)
    this.#written += bytes.length
    this.#onWritten(this.#written)
    if (this.#isSyncing || this.#written - this.#synced < syncEveryBytes) return
    this.#isSyncing = true
    this.#syncing = this.#sync(this.#written)
    this.#noteFailure(this.#syncing)
  }

  /** It is thrown to whoever adds or ends next. */
  #noteFailure(work: Promise<void>): void {
    work.catch(() => {
      this.#failed = true
    })
  }

  async #sync(bytes: number): Promise<void> {
    await syncData(this.#handle)
    // After a failure there is no second try: the system has given up the bytes, and would say that all is well.
    this.#synced = bytes
    this.#isSyncing = false
  }
}
