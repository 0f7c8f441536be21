import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { CallOptions } from '../content.ts'
import { OciError } from '../errors.ts'
import { FileSink } from './file-sink.ts'
import { PartsSink } from './parts-sink.ts'
import { readPrefix } from './prefix.ts'
import type { Sink, Start } from './sink.ts'
import { type ArchiveEntry, framesOf, TornEntry, tarSize, tarStream } from './stream.ts'
import { compressFrame, type Frame, frameBytes, seekTable } from './zstd.ts'

export interface WriteArchiveOptions extends CallOptions {
  /** Default: whether the name ends in `.zst`. */
  readonly compress?: boolean | undefined
  /** Splits it into parts of at most so many bytes, beside a list of their checksums (`FILE.sha256`). */
  readonly partBytes?: number | undefined
  /** Called as the tar grows: bytes so far, before compression, and all. */
  readonly onProgress?: ((done: number, all: number) => void) | undefined
  /** Called with the bytes of each frame that an earlier run left, when it was looked at and its memory is free. */
  readonly onLooked?: ((bytes: number) => void) | undefined
}

export interface WrittenArchive {
  readonly files: readonly string[]
  /** On disk, after compression. */
  readonly bytes: number
  /** Bytes of the tar that an earlier run had written. */
  readonly resumed: number
}

/** Parts of less would hold less than one frame. */
export const minimumPartBytes = 4 * 1024 * 1024
const framesAtOnce = 2

/**
 * Writes a tar that is the same for the same entries, and appears when it is whole. A run that was ended, however, is gone on from: one file
 * in the middle of what it was at, parts at the last whole one. What an earlier run left of a file is verified, and not believed.
 * @throws OciError of the entries' content, and `Storage`
 */
export async function writeArchive(
  file: string,
  entries: readonly ArchiveEntry[],
  options: WriteArchiveOptions = {},
): Promise<WrittenArchive> {
  const path = resolve(file)
  const compress = options.compress ?? path.endsWith('.zst')
  return options.partBytes === undefined
    ? writeFile(path, entries, { ...options, compress })
    : writeParts(path, entries, { ...options, compress, partBytes: options.partBytes })
}

type Writing = WriteArchiveOptions & { readonly compress: boolean }

async function writeFile(path: string, entries: readonly ArchiveEntry[], options: Writing): Promise<WrittenArchive> {
  const { compress, signal, onProgress, onLooked } = options
  const sink = await FileSink.open(path)
  const goOn = async (start: Start): Promise<WrittenArchive> => {
    await sink.goOn(start)
    const bytes = await fill(sink, entries, start, options)
    return { files: await sink.finish(), bytes, resumed: start.offset }
  }
  try {
    const all = tarSize(entries)
    const looked = (done: number): void => {
      onProgress?.(done, all)
      onLooked?.(frameBytes)
    }
    const { furthest, sure } = await readPrefix((into, at) => sink.read(into, at), entries, { compress, signal, onLooked: looked })
    return await goOn(furthest).catch((error: unknown) => {
      // What was begun there was damaged. What is verified is never at fault.
      if (error instanceof TornEntry && sure.offset < furthest.offset) return goOn(sure)
      throw error
    })
  } catch (error) {
    await sink.abandon()
    throw error instanceof TornEntry ? error.cause : error
  }
}

async function writeParts(
  path: string,
  entries: readonly ArchiveEntry[],
  options: Writing & { readonly partBytes: number },
): Promise<WrittenArchive> {
  const { compress, partBytes } = options
  const sink = await PartsSink.open(path, checkedPart(partBytes), planOf(entries, compress, partBytes))
  try {
    const bytes = await fill(sink, entries, sink.start, options)
    return { files: await sink.finish(), bytes, resumed: sink.start.offset }
  } catch (error) {
    // Parts of content that turned out to be wrong are not gone on from.
    await sink.abandon(!(error instanceof OciError && (error.code === 'DigestMismatch' || error.code === 'SizeMismatch')))
    throw error
  }
}

/** Reads and compresses ahead while the disk writes. */
async function fill(
  sink: Sink,
  entries: readonly ArchiveEntry[],
  start: Start,
  { compress, signal, onProgress }: Writing,
): Promise<number> {
  const frames: Frame[] = [...start.frames]
  const all = tarSize(entries)
  let done = start.offset
  const running: { readonly frame: Uint8Array; readonly packed: Promise<Uint8Array> }[] = []
  const spare: Uint8Array[] = []
  let writing: Promise<void> | undefined
  const writeOldest = async (): Promise<void> => {
    const oldest = running.shift()
    if (oldest === undefined) return
    const packed = await oldest.packed
    const frame = { compressed: packed.length, size: oldest.frame.length }
    await sink.write(packed, frame)
    frames.push(frame)
    done += frame.size
    if (frame.size === frameBytes) spare.push(oldest.frame)
    onProgress?.(done, all)
  }
  try {
    for await (const frame of framesOf(tarStream(entries, start, signal), frameBytes, spare)) {
      signal?.throwIfAborted()
      const packed = compress ? compressFrame(frame) : Promise.resolve(frame)
      packed.catch(() => {})
      running.push({ frame, packed })
      if (running.length < (compress ? framesAtOnce : 1)) continue
      await writing
      writing = writeOldest()
      // Looked at above, or below: in between it may fail unseen.
      writing.catch(() => {})
    }
    await writing
    while (running.length > 0) await writeOldest()
  } finally {
    // What is being written is written before anything is tidied up.
    await writing?.catch(() => {})
  }
  const packed = frames.reduce((sum, frame) => sum + frame.compressed, 0)
  if (!compress) return packed
  const table = seekTable(frames)
  await sink.write(table, { compressed: table.length, size: 0 })
  return packed + table.length
}

function checkedPart(bytes: number): number {
  if (Number.isSafeInteger(bytes) && bytes >= minimumPartBytes) return bytes
  throw new OciError('Unsupported', `Parts of ${bytes} bytes are too small: the smallest have ${minimumPartBytes}.`)
}

function planOf(entries: readonly ArchiveEntry[], compress: boolean, partBytes: number): string {
  const hash = createHash('sha256').update(JSON.stringify([2, compress, partBytes, frameBytes]))
  for (const { name, size, digest } of entries) hash.update(`${name}\0${size}\0${digest}\n`)
  return hash.digest('hex')
}
