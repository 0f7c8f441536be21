import { OciError } from '../errors.ts'
import { blockBytes, padded, type TarEntry, tarHeader } from './tar.ts'

/** What goes into an archive. `open` gives exactly `size` bytes, verified at their end. */
export interface ArchiveEntry extends TarEntry {
  readonly open: (signal?: AbortSignal) => AsyncIterable<Uint8Array>
}

const endBytes = 2 * blockBytes

/** How long the tar of these entries is. In bytes. */
export function tarSize(entries: readonly TarEntry[]): number {
  return entries.reduce((total, { size }) => total + blockBytes + padded(size), endBytes)
}

/**
 * The tar of these entries from byte `from` on; what lies before it is not opened.
 * @throws OciError `SizeMismatch` when an entry is not as long as it said
 */
export async function* tarStream(entries: readonly ArchiveEntry[], from: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  let at = 0
  const rest = (bytes: Uint8Array): Uint8Array => {
    const skip = Math.min(bytes.length, Math.max(0, from - at))
    at += bytes.length
    return bytes.subarray(skip)
  }
  for (const entry of entries) {
    signal?.throwIfAborted()
    const end = at + blockBytes + padded(entry.size)
    if (end <= from) {
      at = end
      continue
    }
    yield rest(tarHeader(entry))
    let size = 0
    for await (const chunk of entry.open(signal)) {
      size += chunk.length
      if (size > entry.size) break
      yield rest(chunk)
    }
    if (size !== entry.size) throw new OciError('SizeMismatch', `${entry.name} is not ${entry.size} bytes long, as was said of it.`)
    yield rest(new Uint8Array(padded(size) - size))
  }
  yield rest(new Uint8Array(endBytes))
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
