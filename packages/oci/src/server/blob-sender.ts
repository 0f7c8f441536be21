import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { blocks } from '../blocks.ts'
import { OciError } from '../errors.ts'
import type { ByteRange } from './range.ts'

/**
 * Sends a part of a file as the body of an answer, and ends the answer. Throws when the file is shorter than it was, or the client gone:
 * the answer is then of no use and must be destroyed.
 */
export async function sendFile(handle: FileHandle, range: ByteRange, response: ServerResponse): Promise<void> {
  // A response says by this event what its writes say too.
  response.on('error', () => {})
  const block = blocks.take()
  let sent = false
  try {
    for (let at = range.start; at <= range.end; ) {
      const { bytesRead } = await handle.read(block, 0, Math.min(block.length, range.end + 1 - at), at)
      if (bytesRead === 0) throw new OciError('Storage', `A blob ends at ${at} bytes, before byte ${range.end} that was promised.`)
      await write(response, block.subarray(0, bytesRead))
      at += bytesRead
    }
    sent = true
  } finally {
    if (sent) blocks.giveBack(block)
    else blocks.drop()
  }
  response.end()
}

/** Resolves when the bytes are on their way and their memory is free. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    // What waits behind another answer on the same connection is not told when that breaks.
    const closed = (): void => reject(new OciError('Unreachable', 'The client went away before it had all of a blob.'))
    if (response.destroyed) return closed()
    response.once('close', closed)
    response.write(bytes, (error) => {
      response.off('close', closed)
      if (error === undefined || error === null) resolve()
      else reject(error)
    })
  })
}
