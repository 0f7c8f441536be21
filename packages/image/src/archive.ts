import { createWriteStream } from 'node:fs'
import { rename } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type ContentSource, type Descriptor, digestHex, parseManifest, readBlob } from '@muster/oci'
import { arrange, bytesContent, type LayerEntry } from './entry.ts'
import { ImageError } from './errors.ts'
import { writeTar } from './tar.ts'

/** An archive is put together in memory; what is larger goes through a registry. */
const maxBlobBytes = 64 * 1024 * 1024

/**
 * Writes one small image as an OCI archive (a tar of an OCI layout), as container runtimes load it, under `name`. The file
 * appears whole or not at all.
 * @throws ImageError `RecipeInvalid` for an index or an image that is too large; OciError
 */
export async function writeImageArchive(
  source: ContentSource,
  image: Descriptor,
  options: { readonly name: string; readonly file: string; readonly signal?: AbortSignal },
): Promise<void> {
  const { bytes } = await source.manifest(image.digest, options)
  const manifest = parseManifest(bytes, image.mediaType)
  const blobs = manifest.config === undefined ? [] : [manifest.config, ...manifest.layers]
  if (blobs.length === 0 || blobs.some((blob) => blob.size > maxBlobBytes)) {
    throw new ImageError('RecipeInvalid', `${options.name} is not one image of less than 64 MiB a layer. Load it from a registry.`)
  }
  const entries: LayerEntry[] = [
    file('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' })),
    file(
      'index.json',
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          { mediaType: image.mediaType, digest: image.digest, size: image.size, annotations: { 'io.containerd.image.name': options.name } },
        ],
      }),
    ),
    file(blobPath(image.digest), bytes),
  ]
  for (const blob of blobs) {
    entries.push(
      file(
        blobPath(blob.digest),
        await readBlob(source, blob, { limit: maxBlobBytes, ...(options.signal ? { signal: options.signal } : {}) }),
      ),
    )
  }
  const draft = `${options.file}.${process.pid}`
  await pipeline(Readable.from(writeTar(arrange(entries), 0)), createWriteStream(draft))
  await rename(draft, options.file)
}

function file(path: string, content: string | Uint8Array): LayerEntry {
  return { kind: 'file', path, mode: 0o644, content: bytesContent(content) }
}

function blobPath(digest: string): string {
  return `blobs/sha256/${digestHex(digest)}`
}
