import { copyFile, open, stat, truncate } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'

const maximumBytes = 20 * 1024 * 1024
const chunkBytes = 64 * 1024
const followMs = 300

/** Moves a log that has grown large to `.1`, in place of the one before: the writer appends to the same file, so it is copied and emptied. */
export async function rotate(file: string, limit = maximumBytes): Promise<void> {
  const held = await stat(file).catch(() => undefined)
  if (held === undefined || held.size <= limit) return
  await copyFile(file, `${file}.1`)
  await truncate(file, 0)
}

/** The end of a log from `tailBytes` before it, then, with `follow`, what is added until the signal aborts. */
export async function* readLog(
  file: string,
  options: { readonly tailBytes: number; readonly follow: boolean; readonly signal: AbortSignal },
): AsyncGenerator<Buffer> {
  let position = Math.max(0, ((await stat(file).catch(() => undefined))?.size ?? 0) - options.tailBytes)
  while (!options.signal.aborted) {
    const size = (await stat(file).catch(() => undefined))?.size ?? 0
    // Smaller than what was read: it was rotated.
    if (size < position) position = 0
    if (size > position) {
      const handle = await open(file, 'r')
      try {
        const buffer = Buffer.alloc(Math.min(chunkBytes, size - position))
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, position)
        position += bytesRead
        if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
      } finally {
        await handle.close()
      }
    } else if (!options.follow) return
    else await delay(followMs, undefined, { signal: options.signal }).catch(() => undefined)
  }
}
