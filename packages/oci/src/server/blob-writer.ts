import type { Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { blocks } from '../blocks.ts'
import { syncData, writeAll } from '../disk.ts'

/** The disk begins to take what came when there is so much of it: what is left when the last byte has come is little to wait for. */
const syncEveryBytes = 16 * 1024 * 1024

/** So many blocks of one file may wait to be written while memory is plenty: a disk or a thread that is late for a moment holds nobody up. */
const waitingBlocks = 4

/**
 * Bytes of one write. For larger ones the kernel takes larger pieces of memory; in a virtual machine those are often ones that its host
 * has to provide first, and the copy into them then costs 2 s of CPU time for a GB.
 */
const writeBytes = 64 * 1024

/**
 * Writes what comes to a file in large blocks: while some are on their way to the disk, the next one is filled, and hashed. After a failure
 * nothing more is written, and every call throws it.
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
  /** Filled, and in this order to be written; the first is being written. */
  readonly #queue: { readonly block: Uint8Array; readonly filled: number }[] = []
  /** Ends when the queue is empty. */
  #writing: Promise<void> | undefined
  #roomFor: (() => void) | undefined
  #syncing: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  /**
   * @param hash is told of every byte; `start` bytes before these were told to it already
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
    return this.#failure !== undefined
  }

  /** How many bytes the file will have with all that came. */
  get size(): number {
    return this.#size
  }

  /** Takes bytes. A promise: the disk is behind, wait for it before more is added. */
  add(bytes: Uint8Array): Promise<void> | undefined {
    this.#throwFailure()
    for (let at = 0; at < bytes.length; ) {
      this.#block ??= blocks.take()
      const part = bytes.subarray(at, at + this.#block.length - this.#filled)
      this.#block.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled === this.#block.length) this.#hand()
    }
    this.#size += bytes.length
    return this.#queue.length > (blocks.scarce ? 1 : waitingBlocks) ? this.#room() : undefined
  }

  /** Writes all that came so far. */
  async flush(): Promise<void> {
    this.#hand()
    await this.#writing
    this.#throwFailure()
  }

  /** Writes all that came, and waits for what is under way. The writer is of no more use. */
  async end(): Promise<void> {
    this.#hand()
    await this.#writing
    await this.#syncing
    this.#throwFailure()
  }

  async #room(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#roomFor = resolve
    })
    this.#throwFailure()
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }

  #hand(): void {
    const [block, filled] = [this.#block, this.#filled]
    if (block === undefined) return
    this.#block = undefined
    this.#filled = 0
    this.#queue.push({ block, filled })
    this.#writing ??= this.#writeAll()
    // On this thread, while another one writes.
    this.#hash?.update(block.subarray(0, filled))
  }

  /** Never fails: what went wrong is remembered. */
  async #writeAll(): Promise<void> {
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      try {
        if (!this.failed) await this.#write(next.block.subarray(0, next.filled))
      } catch (error) {
        this.#failure ??= { error }
      }
      this.#queue.shift()
      blocks.giveBack(next.block)
      this.#roomFor?.()
      this.#roomFor = undefined
    }
    this.#writing = undefined
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const start = this.#written
    const write = (part: Uint8Array, offset: number) =>
      this.#handle.write(part, offset, Math.min(part.length - offset, writeBytes), start + offset)
    await writeAll({ write }, bytes)
    this.#written += bytes.length
    this.#onWritten(this.#written)
    if (this.#written - this.#synced >= syncEveryBytes) this.#syncing ??= this.#sync(this.#written)
  }

  /** After a failure there is no second try: the system has given up the bytes, and would say that all is well. Never fails, as above. */
  async #sync(bytes: number): Promise<void> {
    try {
      await syncData(this.#handle)
      this.#synced = bytes
      this.#syncing = undefined
    } catch (error) {
      this.#failure ??= { error }
    }
  }
}
