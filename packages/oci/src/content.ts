import { verifyStream } from './digest.ts'
import { OciError } from './errors.ts'
import type { Descriptor } from './manifest.ts'

export interface CallOptions {
  signal?: AbortSignal | undefined
}

export interface BlobOptions extends CallOptions {
  /** Whoever reads is done with a chunk when it asks for the next, so its memory may be used again. Much faster for what is large. */
  reuse?: boolean | undefined
}

export interface PutBlobOptions extends CallOptions {
  /** `content` verifies itself at its end, as that of every ContentSource does: it is not hashed a second time. */
  verified?: boolean | undefined
}

/** Where content is read: a registry's repository, or a layout on disk. Everything it returns is verified. */
export interface ContentSource {
  /** The manifest or index that a tag or digest names, or undefined when there is none. */
  resolve(tagOrDigest: string, options?: CallOptions): Promise<Descriptor | undefined>
  /** @throws OciError `NotFound`, `DigestMismatch`, `InvalidManifest`, `TooLarge` */
  manifest(digest: string, options?: CallOptions): Promise<{ descriptor: Descriptor; bytes: Uint8Array }>
  /** Streamed. Throws `DigestMismatch` or `SizeMismatch` at the end: do not use what came before without reaching it. */
  blob(descriptor: Descriptor, options?: BlobOptions): AsyncIterable<Uint8Array>
  /**
   * What of a blob comes after its first `from` bytes, for a reader who has those. The source cannot verify it: the reader must, with
   * what it has. A source without this is read from the beginning.
   */
  blobRest?(descriptor: Descriptor, from: number, options?: BlobOptions): AsyncIterable<Uint8Array>
  /** What refers to a manifest as its subject: signatures, SBOMs, attestations. Empty when nothing does. */
  referrers(digest: string, options?: CallOptions & { artifactType?: string | undefined }): Promise<Descriptor[]>
}

/** Where content is written. Children go before parents: blobs, then manifests, then indexes. */
export interface ContentTarget {
  hasManifest(digest: string, options?: CallOptions): Promise<boolean>
  hasBlob(descriptor: Descriptor, options?: CallOptions): Promise<boolean>
  putManifest(bytes: Uint8Array, mediaType: string, options?: CallOptions & { tag?: string | undefined }): Promise<Descriptor>
  /** `content` may be opened more than once, to go on after an interruption. A chunk of it must not be kept: its memory is used again. */
  putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, options?: PutBlobOptions): Promise<void>
  /** Takes a blob over from `source` without moving bytes, where both are the same registry. False: send it. */
  adopt?(descriptor: Descriptor, source: ContentSource, options?: CallOptions): Promise<boolean>
}

/**
 * A blob in memory, verified.
 * @param options.limit the most bytes to accept
 * @throws OciError `TooLarge` before anything is read, `DigestMismatch`, `SizeMismatch`, `NotFound`
 */
export async function readBlob(
  source: ContentSource,
  descriptor: Descriptor,
  options: CallOptions & { limit: number },
): Promise<Uint8Array> {
  if (descriptor.size > options.limit) {
    throw new OciError(
      'TooLarge',
      `${descriptor.digest} (${descriptor.mediaType}) has ${descriptor.size} bytes; at most ${options.limit} are read here.`,
    )
  }
  const bytes = new Uint8Array(descriptor.size)
  let at = 0
  // Verified here again: a source is an interface, and this is where bytes become trusted.
  for await (const chunk of verifyStream(source.blob(descriptor, options), descriptor, 'its source')) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes
}

/**
 * A blob as JSON, verified.
 * @throws OciError as {@link readBlob}, and `InvalidJson`
 */
export async function readJson(source: ContentSource, descriptor: Descriptor, options: CallOptions & { limit: number }): Promise<unknown> {
  const bytes = await readBlob(source, descriptor, options)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new OciError('InvalidJson', `${descriptor.digest} (${descriptor.mediaType}) is not JSON in UTF-8.`, { cause })
  }
}
