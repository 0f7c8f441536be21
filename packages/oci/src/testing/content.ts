import { pushArtifact } from '../artifact.ts'
import type { ContentTarget } from '../content.ts'
import { digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { type Descriptor, mediaTypes } from '../manifest.ts'

/** Bytes that look random and are the same each time (xorshift). */
export function noise(length: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  let state = seed
  for (let at = 0; at < length; at += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = state & 0xff
  }
  return bytes
}

export function describeBlob(bytes: Uint8Array): Descriptor {
  return { mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length }
}

export async function* chunks(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

export async function collect(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of content) parts.push(part)
  return Buffer.concat(parts)
}

/** A small image whose digest depends on `seed`. */
export function pushImage(target: ContentTarget, seed: number, options: { tag?: string; bytes?: number } = {}): Promise<Descriptor> {
  const layer = { mediaType: mediaTypes.layerTar, bytes: noise(options.bytes ?? 2000, seed) }
  const config = {
    mediaType: mediaTypes.imageConfig,
    bytes: new TextEncoder().encode(JSON.stringify({ architecture: 'amd64', os: 'linux', seed })),
  }
  return pushArtifact(
    target,
    { artifactType: 'application/vnd.example.image', layers: [layer], config },
    options.tag === undefined ? {} : { tag: options.tag },
  )
}

export function pushIndex(target: ContentTarget, manifests: readonly Descriptor[], tag?: string): Promise<Descriptor> {
  const index = { schemaVersion: 2, mediaType: mediaTypes.imageIndex, manifests }
  return target.putManifest(new TextEncoder().encode(JSON.stringify(index)), mediaTypes.imageIndex, tag === undefined ? {} : { tag })
}

/** The code of the OciError that `work` fails with. */
export async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof OciError) return error.code
    throw error
  }
  return 'nothing was thrown'
}
