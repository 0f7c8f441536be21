import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import type { RandomBytes } from './bytes.ts'
import { invalidArchive } from './tar.ts'

/** One zstd frame: how much it takes, and how much is in it. In bytes. */
export interface Frame {
  readonly compressed: number
  readonly size: number
}

/** What goes into one frame when an archive is written. */
export const frameBytes = 2 * 1024 * 1024
/** Frames of others may be larger, up to what is decompressed in memory at once. */
const maximumFrameBytes = 16 * 1024 * 1024
const maximumFrames = 4_000_000
const footerBytes = 9
const seekableMagic = 0x8f92eab1
const skippableMagic = 0x184d2a5e
const keptFrames = 2
/** What a frame of others could ask for would be much more than it holds. */
const maximumWindowLog = 22
/** No frame takes more than what is in it and this. */
export const frameOverheadBytes = 64 * 1024

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** One frame that stands by itself. The level is fixed, so that the same content gives the same archive. */
export function compressFrame(bytes: Uint8Array): Promise<Uint8Array> {
  return compress(bytes, {
    chunkSize: bytes.length + frameOverheadBytes,
    params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
  })
}

/**
 * How long the frame at the start of `bytes` is (RFC 8878, 3.1.1), by the heads of its blocks: nothing is decompressed. Undefined where
 * there is no whole frame.
 */
export function frameLength(bytes: Uint8Array): number | undefined {
  if (!isZstd(bytes) || bytes.length < 5) return undefined
  const descriptor = bytes[4] ?? 0
  const single = (descriptor & 0x20) !== 0
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0
  const checksumBytes = (descriptor & 4) === 0 ? 0 : 4
  for (let at = 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes; at + 3 <= bytes.length; ) {
    const head = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16)
    const kind = (head >> 1) & 3
    if (kind === 3) return undefined
    // A block of one byte, repeated, holds only that byte.
    at += 3 + (kind === 1 ? 1 : head >> 3)
    if ((head & 1) === 0) continue
    return at + checksumBytes <= bytes.length ? at + checksumBytes : undefined
  }
  return undefined
}

/** What is in one frame that {@link compressFrame} made; undefined where it is anything else. */
export async function decompressFrame(packed: Uint8Array): Promise<Uint8Array | undefined> {
  const bounds = { maxOutputLength: frameBytes, chunkSize: frameBytes, params: { [constants.ZSTD_d_windowLogMax]: maximumWindowLog } }
  return decompress(packed, bounds).catch(() => undefined)
}

/** The table at the end by which frames are found (zstd seekable format 0.1.0): a skippable frame, which other programs pass over. */
export function seekTable(frames: readonly Frame[]): Uint8Array {
  const table = Buffer.alloc(8 + frames.length * 8 + footerBytes)
  table.writeUInt32LE(skippableMagic, 0)
  table.writeUInt32LE(table.length - 8, 4)
  frames.forEach(({ compressed, size }, at) => {
    table.writeUInt32LE(compressed, 8 + at * 8)
    table.writeUInt32LE(size, 12 + at * 8)
  })
  table.writeUInt32LE(frames.length, table.length - footerBytes)
  table.writeUInt32LE(seekableMagic, table.length - 4)
  return table
}

export function isZstd(start: Uint8Array): boolean {
  return start.length >= 4 && start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd
}

/** The frames of a seekable file, or undefined for a file without a table. @throws OciError `InvalidArchive` for a table that lies */
export async function readSeekTable(bytes: RandomBytes, where: string): Promise<Frame[] | undefined> {
  if (bytes.size < footerBytes + 8) return undefined
  const footer = Buffer.from(await bytes.read(bytes.size - footerBytes, footerBytes))
  if (footer.readUInt32LE(5) !== seekableMagic) return undefined
  const count = footer.readUInt32LE(0)
  const descriptor = footer[4] ?? 0
  const width = (descriptor & 0x80) === 0 ? 8 : 12
  const length = 8 + count * width + footerBytes
  if (count > maximumFrames || length > bytes.size || (descriptor & 0x7c) !== 0)
    throw invalidArchive(where, 'its table of frames is malformed')
  const table = Buffer.from(await bytes.read(bytes.size - length, length))
  const frames = Array.from({ length: count }, (_, at) => ({
    compressed: table.readUInt32LE(8 + at * width),
    size: table.readUInt32LE(12 + at * width),
  }))
  const total = frames.reduce((sum, { compressed }) => sum + compressed, length)
  if (table.readUInt32LE(0) !== skippableMagic || total !== bytes.size)
    throw invalidArchive(where, 'its table of frames does not fit the file: it is truncated or damaged')
  // Frames that do not fit in memory are read as a stream instead.
  return frames.every(({ size }) => size <= maximumFrameBytes) ? frames : undefined
}

interface Placed extends Frame {
  /** Where it starts, compressed and not. */
  readonly from: number
  readonly start: number
}

/** What is compressed in a seekable zstd file, read from anywhere; a few frames are kept. */
export class ZstdBytes implements RandomBytes {
  readonly size: number
  readonly #bytes: RandomBytes
  readonly #frames: readonly Placed[]
  readonly #where: string
  readonly #kept = new Map<number, Promise<Uint8Array>>()

  constructor(bytes: RandomBytes, frames: readonly Frame[], where: string) {
    this.#bytes = bytes
    this.#where = where
    let from = 0
    let start = 0
    this.#frames = frames.map((frame) => {
      const placed = { ...frame, from, start }
      from += frame.compressed
      start += frame.size
      return placed
    })
    this.size = start
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.size) throw invalidArchive(this.#where, `it ends at byte ${this.size}, before what it promises`)
    const result = Buffer.allocUnsafeSlow(length)
    for (let at = 0; at < length; ) {
      const index = this.#frameAt(offset + at)
      const frame = await this.#frame(index)
      const skip = offset + at - (this.#frames[index]?.start ?? 0)
      const part = frame.subarray(skip, skip + length - at)
      result.set(part, at)
      at += part.length
    }
    return result
  }

  /** Frame by frame: each is decompressed once, and not kept. */
  async *stretch(offset: number, length: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    if (offset + length > this.size) throw invalidArchive(this.#where, `it ends at byte ${this.size}, before what it promises`)
    for (let at = 0; at < length; ) {
      signal?.throwIfAborted()
      const index = this.#frameAt(offset + at)
      const frame = await (this.#kept.get(index) ?? this.#load(index))
      const skip = offset + at - (this.#frames[index]?.start ?? 0)
      const part = frame.subarray(skip, skip + length - at)
      at += part.length
      yield part
    }
  }

  close(): Promise<void> {
    this.#kept.clear()
    return this.#bytes.close()
  }

  #frameAt(offset: number): number {
    let low = 0
    let high = this.#frames.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#frames[middle]?.start ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  #frame(index: number): Promise<Uint8Array> {
    const present = this.#kept.get(index)
    if (present !== undefined) return present
    const loading = this.#load(index)
    loading.catch(() => this.#kept.delete(index))
    this.#kept.set(index, loading)
    for (const old of this.#kept.keys()) {
      if (this.#kept.size <= keptFrames) break
      this.#kept.delete(old)
    }
    return loading
  }

  async #load(index: number): Promise<Uint8Array> {
    const { from = 0, compressed = 0, size = 0 } = this.#frames[index] ?? {}
    const packed = await this.#bytes.read(from, compressed)
    // Bounded by what the table says: a frame that holds more is refused before it fills the memory.
    const frame = await decompress(packed, { maxOutputLength: Math.max(1, size), chunkSize: Math.max(64, size) }).catch(
      (cause: unknown) => {
        throw invalidArchive(this.#where, `the zstd frame at byte ${from} is damaged`, cause)
      },
    )
    if (frame.length !== size) throw invalidArchive(this.#where, `the zstd frame at byte ${from} has ${frame.length} bytes and not ${size}`)
    return frame
  }
}
