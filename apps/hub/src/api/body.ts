import type { IncomingMessage } from 'node:http'
import { ApiError } from './errors.ts'

/**
 * Reads a body as JSON, up to a limit in bytes. The server's own request timeout ends a body that does not come.
 * @throws ApiError `BodyTooLarge`, `BadRequest`
 */
export async function readJsonBody(message: IncomingMessage, limit: number): Promise<unknown> {
  const tooLarge = new ApiError('BodyTooLarge', `The body is larger than ${limit} bytes.`)
  if (Number(message.headers['content-length'] ?? 0) > limit) throw tooLarge
  const chunks: Buffer[] = []
  let size = 0
  try {
    // Left as it is when it is too large: a destroyed message could not be answered.
    for await (const chunk of message.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > limit) throw tooLarge
      chunks.push(chunk)
    }
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)))
  } catch (cause) {
    if (cause instanceof ApiError) throw cause
    throw new ApiError('BadRequest', 'The body is not JSON in UTF-8, or it ended early.', { cause })
  }
}
