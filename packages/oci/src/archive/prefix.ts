import { createHash, type Hash } from 'node:crypto'
import type { Start } from './sink.ts'
import { type ArchiveEntry, tarSize } from './stream.ts'
import { blockBytes, padded, tarHeader } from './tar.ts'
import { decompressFrame, type Frame, frameBytes, frameLength, frameOverheadBytes } from './zstd.ts'

/** Where an archive that was begun can be gone on with. */
export interface Prefix {
  /** Behind all whole frames that may be right. What is begun there is known to be so only when the rest of it has come. */
  readonly furthest: Start
  /** At or before that, where everything is verified. */
  readonly sure: Start
}

type Place = Omit<Start, 'frames'>

/** Reads at most `into.length` bytes at `offset`. */
export type ReadAt = (into: Uint8Array, offset: number) => Promise<number>

export interface PrefixOptions {
  readonly compress: boolean
  readonly signal?: AbortSignal | undefined
  /** Called after each frame, with how far it is in the tar. */
  readonly onLooked?: ((offset: number) => void) | undefined
}

/**
 * How far a file is the beginning of the archive of these entries. Nothing that it says is believed: heads are compared with what would be
 * written, and content is verified by its digest, so a file of anything else, or a damaged one, is gone on with no further than it is right.
 */
export async function readPrefix(read: ReadAt, entries: readonly ArchiveEntry[], options: PrefixOptions): Promise<Prefix> {
  const check = new EntryCheck(entries)
  const frames: Frame[] = []
  let here: Place = { offset: 0 }
  let sure = here
  let isRight = true
  for await (const { bytes, frame } of wholeFrames(read, options)) {
    options.signal?.throwIfAborted()
    const before = here
    frames.push(frame)
    isRight = check.take(bytes)
    here = { offset: before.offset + bytes.length, begun: check.begun() }
    if (check.verified === here.offset) sure = here
    else if (check.verified > before.offset) sure = before
    if (!isRight) break
    options.onLooked?.(here.offset)
  }
  const at = (place: Place): Start => ({ ...place, frames: frames.slice(0, place.offset / frameBytes) })
  return { furthest: at(isRight ? here : sure), sure: at(sure) }
}

/** Every frame of an archive but its last has `frameBytes`; what is shorter was cut off, or is written again. */
async function* wholeFrames(read: ReadAt, { compress }: PrefixOptions): AsyncGenerator<{ bytes: Uint8Array; frame: Frame }> {
  const memory = Buffer.allocUnsafeSlow(frameBytes + (compress ? frameOverheadBytes : 0))
  for (let at = 0; ; ) {
    const there = memory.subarray(0, await read(memory, at))
    const length = compress ? frameLength(there) : frameBytes
    if (length === undefined || length > there.length) return
    const bytes = compress ? await decompressFrame(there.subarray(0, length)) : there
    if (bytes?.length !== frameBytes) return
    yield { bytes, frame: { compressed: length, size: frameBytes } }
    at += length
  }
}

/** Compares a tar, as it comes, with the one of some entries. */
class EntryCheck {
  readonly #entries: readonly ArchiveEntry[]
  /** Which entry comes next, or is come to, and where it starts. */
  #at = 0
  #start = 0
  #offset = 0
  #header: Uint8Array = new Uint8Array()
  #hash: Hash = createHash('sha256')
  /** Up to here it is what it should be: the end of an entry's content. */
  verified = 0

  constructor(entries: readonly ArchiveEntry[]) {
    this.#entries = entries
  }

  /** What there is of the content that comes now. */
  begun(): Start['begun'] {
    const bytes = this.#offset - this.#start - blockBytes
    const entry = this.#entries[this.#at]
    return entry !== undefined && bytes > 0 && bytes < entry.size ? { bytes, hash: this.#hash.copy() } : undefined
  }

  /** False when the bytes are not those of the entries. Then it takes no more. */
  take(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      const taken = this.#some(bytes.subarray(at))
      if (taken === undefined) return false
      at += taken
      this.#offset += taken
      this.#advance()
    }
    return true
  }

  /** Takes bytes of one header, content or padding. How many, or undefined where they are wrong. */
  #some(bytes: Uint8Array): number | undefined {
    const entry = this.#entries[this.#at]
    // Behind all entries are zeros.
    if (entry === undefined) return this.#offset + bytes.length <= tarSize(this.#entries) && isZero(bytes) ? bytes.length : undefined
    const within = this.#offset - this.#start
    if (within === 0) {
      this.#header = tarHeader(entry)
      this.#hash = createHash('sha256')
    }
    if (within < blockBytes) {
      const part = bytes.subarray(0, blockBytes - within)
      return isSame(part, this.#header.subarray(within, within + part.length)) ? part.length : undefined
    }
    const left = blockBytes + entry.size - within
    if (left <= 0) {
      const part = bytes.subarray(0, blockBytes + padded(entry.size) - within)
      return isZero(part) ? part.length : undefined
    }
    const part = bytes.subarray(0, left)
    this.#hash.update(part)
    if (part.length < left) return part.length
    if (`sha256:${this.#hash.copy().digest('hex')}` !== entry.digest) return undefined
    this.verified = this.#offset + part.length
    return part.length
  }

  #advance(): void {
    const entry = this.#entries[this.#at]
    if (entry === undefined || this.#offset < this.#start + blockBytes + padded(entry.size)) return
    this.#start = this.#offset
    this.#at += 1
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}
