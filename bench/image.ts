import { createHash, randomBytes } from 'node:crypto'
import { type ContentSource, type ContentTarget, type Descriptor, digestOf, mediaTypes, OciError } from '@muster/oci'

const MiB = 2 ** 20

/** An image whose content is made while it is read: no disk is read, and little memory is held. */
export interface GeneratedImage extends ContentSource {
  readonly descriptor: Descriptor
  /** Of all blobs, in bytes. */
  readonly size: number
}

/** @param blobBytes a multiple of 1 MiB */
export function generateImage(blobs: number, blobBytes: number): GeneratedImage {
  const noise = randomBytes(MiB)
  const heads = new Map<string, Uint8Array>()
  const layers = Array.from({ length: blobs }, (): Descriptor => {
    const head = randomBytes(MiB)
    const hash = createHash('sha256')
    for (const chunk of chunks(head, noise, blobBytes)) hash.update(chunk)
    const digest = `sha256:${hash.digest('hex')}`
    heads.set(digest, head)
    return { mediaType: mediaTypes.layerTar, digest, size: blobBytes }
  })
  const config = new TextEncoder().encode(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } }))
  const configDescriptor = { mediaType: mediaTypes.imageConfig, digest: digestOf(config), size: config.length }
  const manifest = new TextEncoder().encode(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: configDescriptor, layers }),
  )
  const descriptor = { mediaType: mediaTypes.imageManifest, digest: digestOf(manifest), size: manifest.length }
  return {
    descriptor,
    size: blobs * blobBytes,
    resolve: async () => descriptor,
    manifest: async () => ({ descriptor, bytes: manifest }),
    async *blob({ digest, size }) {
      const head = heads.get(digest)
      if (head) yield* chunks(head, noise, size)
      else yield config
    },
    referrers: async () => [],
  }
}

/** A megabyte of its own, then the same noise again and again. */
function* chunks(head: Uint8Array, noise: Uint8Array, bytes: number): Generator<Uint8Array> {
  yield head
  for (let at = MiB; at < bytes; at += MiB) yield noise
}

/** Takes everything and keeps nothing: for measuring what a registry gives. The client verifies what passes. */
export class Discarded implements ContentTarget {
  async hasManifest(): Promise<boolean> {
    return false
  }

  async hasBlob(): Promise<boolean> {
    return false
  }

  async putManifest(bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
    return { mediaType, digest: digestOf(bytes), size: bytes.length }
  }

  async putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>): Promise<void> {
    let size = 0
    for await (const chunk of content()) size += chunk.length
    if (size !== descriptor.size) throw new OciError('SizeMismatch', `${descriptor.digest} came with ${size} bytes.`)
  }
}
