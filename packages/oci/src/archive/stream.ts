import { OciError } from '../errors.ts'
import type { Begun, Start } from './sink.ts'
import { blockBytes, padded, type TarEntry, tarHeader } from './tar.ts'

export interface EntryOptions {
  readonly signal?: AbortSignal | undefined
  /** Gives what comes after so many bytes. That need not be verified: whoever has them verifies the whole. */
  readonly from?: number | undefined
}

/** What goes into an archive. `open` gives exactly `size` bytes, verified at their end. */
export interface ArchiveEntry extends TarEntry {
  /** Of its content. */
  readonly digest: string
  readonly open: (options: EntryOptions) => AsyncIterable<Uint8Array>
}

/** What was there of an entry, and what came after it, are together not what it should be. */
export class TornEntry extends Error {
  override readonly name = 'TornEntry'
}

const endBytes = 2 * blockBytes

/** How long the tar of these entries is. In bytes. */
export function tarSize(entries: readonly TarEntry[]): number {
  return entries.reduce((total, { size }) => total + blockBytes + padded(size), endBytes)
}

/**
 * The tar of these entries from where it goes on; what lies before that is not opened. An entry in the middle of which that is, and of
 * which it is not known what was there, is read from its beginning, which is left out.
 * @throws OciError `SizeMismatch` when an entry is not as long as it said; TornEntry
 */
export async function* tarStream(
  entries: readonly ArchiveEntry[],
  { offset, begun }: Start,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const entry of entries) {
    signal?.throwIfAborted()
    const content = at + blockBytes
    const padding = content + entry.size
    const end = content + padded(entry.size)
    if (offset < content) yield tarHeader(entry).subarray(Math.max(0, offset - at))
    if (offset <= content || offset < padding) {
      if (begun !== undefined && offset > content) yield* restOf(entry, begun, signal)
      else yield* contentOf(entry, Math.max(0, offset - content), signal)
    }
    if (offset < end) yield new Uint8Array(end - Math.max(offset, padding))
    at = end
  }
  yield new Uint8Array(endBytes - Math.max(0, offset - at))
}

async function* contentOf(entry: ArchiveEntry, skipped: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of entry.open({ signal })) {
    const skip = Math.min(chunk.length, Math.max(0, skipped - size))
    size += chunk.length
    if (size > entry.size) break
    yield chunk.subarray(skip)
  }
  if (size !== entry.size) throw wrongSize(entry)
}

async function* restOf(entry: ArchiveEntry, { bytes, hash }: Begun, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const whole = hash.copy()
  let size = bytes
  for await (const chunk of entry.open({ signal, from: bytes })) {
    size += chunk.length
    if (size > entry.size) break
    whole.update(chunk)
    yield chunk
  }
  if (size !== entry.size) throw new TornEntry(entry.name, { cause: wrongSize(entry) })
  const actual = `sha256:${whole.digest('hex')}`
  if (actual === entry.digest) return
  const cause = new OciError('DigestMismatch', `The content of ${entry.name} is ${actual}: it was changed or damaged. Run it again.`)
  throw new TornEntry(entry.name, { cause })
}

function wrongSize({ name, size }: ArchiveEntry): OciError {
  return new OciError('SizeMismatch', `${name} is not ${size} bytes long, as was said of it.`)
}

/** Chunks of one size, the last one shorter. Who is done with one puts it into `spare`, to be filled again. */
export async function* framesOf(content: AsyncIterable<Uint8Array>, bytes: number, spare: Uint8Array[]): AsyncGenerator<Uint8Array> {
  let frame = spare.pop() ?? Buffer.allocUnsafeSlow(bytes)
  let filled = 0
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + bytes - filled)
      frame.set(part, filled)
      filled += part.length
      at += part.length
      if (filled < bytes) continue
      yield frame
      frame = spare.pop() ?? Buffer.allocUnsafeSlow(bytes)
      filled = 0
    }
  }
  if (filled > 0) yield frame.subarray(0, filled)
}
