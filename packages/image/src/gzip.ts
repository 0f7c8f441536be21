import { Readable } from 'node:stream'
import { constants, crc32, createDeflateRaw } from 'node:zlib'

/** Fixed: another level gives another digest for the same layer. */
export const gzipLevel = 6

/**
 * gzip (RFC 1952) with a header that tells nothing of the machine: no name, no time, system 255 (unknown). The compressed bytes
 * depend on the zlib of the Node that runs this, so digests are equal where Node's version is; the diffID is equal everywhere.
 */
export async function* gzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let checksum = 0
  let length = 0
  async function* counted() {
    for await (const chunk of source) {
      checksum = crc32(chunk, checksum)
      length = (length + chunk.length) % 2 ** 32
      yield chunk
    }
  }
  yield Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
  const input = Readable.from(counted(), { objectMode: false })
  const deflate = createDeflateRaw({ level: gzipLevel, memLevel: 8, strategy: constants.Z_DEFAULT_STRATEGY, chunkSize: 1 << 16 })
  input.on('error', (error) => deflate.destroy(error))
  try {
    for await (const chunk of input.pipe(deflate)) yield chunk as Buffer
  } finally {
    input.destroy()
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(checksum, 0)
  trailer.writeUInt32LE(length, 4)
  yield trailer
}
