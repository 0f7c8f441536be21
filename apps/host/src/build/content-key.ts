import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/**
 * The key of a cached result: SHA-256 over everything that the result depends on, by name, each part with its length so
 * that no two different sets of parts read the same. The order in which parts are given does not matter.
 *
 * @returns 64 hexadecimal digits
 */
export function contentKey(parts: Readonly<Record<string, string | Uint8Array>>): string {
  const hash = createHash('sha256')
  for (const name of Object.keys(parts).sort()) {
    const value = Buffer.from(parts[name] ?? '')
    hash.update(`${Buffer.byteLength(name)}:${name}=${value.length}:`).update(value)
  }
  return hash.digest('hex')
}

/** SHA-256 of a file's content, read as a stream; 64 hexadecimal digits. */
export async function fileDigest(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, ...(signal && { signal }) })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
