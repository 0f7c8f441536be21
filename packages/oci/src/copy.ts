import type { CallOptions, ContentSource, ContentTarget } from './content.ts'
import { OciError } from './errors.ts'
import { type Descriptor, isManifestType, parseManifest } from './manifest.ts'

/** What a copy moved. `bytes` are those of blobs and manifests sent; `skipped` counts what was there already. */
export interface CopyResult {
  manifests: number
  blobs: number
  bytes: number
  skipped: number
}

export interface CopyOptions extends CallOptions {
  /** Also copies what refers to the manifest and to everything in it (signatures, SBOMs). Default false. */
  referrers?: boolean | undefined
  /** Set last, when everything is there: who sees the tag finds the signatures too. */
  tag?: string | undefined
  /** Called as bytes move; `current` is what is moving. */
  onProgress?: ((progress: Readonly<CopyResult> & { current: Descriptor }) => void) | undefined
}

const parallelBlobs = 4
const maximumDepth = 16
const maximumManifests = 20_000

/**
 * Copies a manifest or index with all that it holds; digests stay the same. Blobs go before manifests and children before parents,
 * so an interrupted copy leaves nothing that points to what is missing, and running it again goes on.
 * @throws OciError of either side; `Unsupported` for a descriptor that is no manifest
 */
export async function copy(
  source: ContentSource,
  target: ContentTarget,
  descriptor: Descriptor,
  options: CopyOptions = {},
): Promise<CopyResult> {
  const run = new Copy(source, target, options)
  await run.tree(descriptor, 0, undefined)
  if (options.tag !== undefined) await run.setTag(descriptor, options.tag)
  return run.result
}

class Copy {
  readonly result: CopyResult = { manifests: 0, blobs: 0, bytes: 0, skipped: 0 }
  readonly #source: ContentSource
  readonly #target: ContentTarget
  readonly #options: CopyOptions
  readonly #seen = new Set<string>()
  readonly #blobs = new Set<string>()

  constructor(source: ContentSource, target: ContentTarget, options: CopyOptions) {
    this.#source = source
    this.#target = target
    this.#options = options
  }

  async tree(descriptor: Descriptor, depth: number, parent: string | undefined): Promise<void> {
    const { signal, referrers } = this.#options
    signal?.throwIfAborted()
    if (this.#seen.has(descriptor.digest)) return
    this.#seen.add(descriptor.digest)
    if (!isManifestType(descriptor.mediaType)) {
      throw new OciError('Unsupported', `${descriptor.digest} is ${descriptor.mediaType}, which is neither a manifest nor an index.`)
    }
    if (depth > maximumDepth || this.#seen.size > maximumManifests) {
      throw new OciError(
        'TooLarge',
        `${parent ?? descriptor.digest} holds more than ${maximumDepth} levels or ${maximumManifests} manifests.`,
      )
    }
    const present = await this.#target.hasManifest(descriptor.digest, { signal })
    // What is there came after its children, so only referrers can be missing below it.
    if (present) this.#skip(descriptor)
    if (present && referrers !== true) return
    const { bytes } = await this.#read(descriptor)
    const manifest = parseManifest(bytes, descriptor.mediaType)
    for (const child of manifest.manifests) await this.tree(child, depth + 1, descriptor.digest)
    if (!present) {
      await this.#copyBlobs(manifest.blobs)
      await this.#target.putManifest(bytes, descriptor.mediaType, { signal })
      this.result.manifests += 1
      this.#moved(descriptor, bytes.length)
    }
    if (referrers !== true) return
    for (const referrer of await this.#source.referrers(descriptor.digest, { signal }))
      await this.tree(referrer, depth + 1, descriptor.digest)
  }

  async setTag(descriptor: Descriptor, tag: string): Promise<void> {
    const { signal } = this.#options
    const { bytes } = await this.#read(descriptor)
    await this.#target.putManifest(bytes, descriptor.mediaType, { tag, signal })
  }

  async #read(descriptor: Descriptor): Promise<{ bytes: Uint8Array }> {
    const found = await this.#source.manifest(descriptor.digest, { signal: this.#options.signal })
    if (found.bytes.length !== descriptor.size) {
      throw new OciError('SizeMismatch', `Manifest ${descriptor.digest} has ${found.bytes.length} bytes; ${descriptor.size} were promised.`)
    }
    return found
  }

  /** A few at a time; the first failure stops the others, and all are waited for. */
  async #copyBlobs(descriptors: readonly Descriptor[]): Promise<void> {
    const waiting = descriptors.filter((descriptor) => !this.#blobs.has(descriptor.digest) && this.#blobs.add(descriptor.digest))
    const failed = new AbortController()
    const signal = this.#options.signal === undefined ? failed.signal : AbortSignal.any([this.#options.signal, failed.signal])
    let next = 0
    const worker = async (): Promise<void> => {
      for (let descriptor = waiting[next++]; descriptor !== undefined; descriptor = waiting[next++]) {
        try {
          await this.#copyBlob(descriptor, signal)
        } catch (error) {
          failed.abort(error)
          throw error
        }
      }
    }
    await Promise.allSettled(Array.from({ length: Math.min(parallelBlobs, waiting.length) }, worker))
    signal.throwIfAborted()
  }

  async #copyBlob(descriptor: Descriptor, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (await this.#target.hasBlob(descriptor, { signal })) return this.#skip(descriptor)
    if (await this.#target.adopt?.(descriptor, this.#source, { signal })) return this.#skip(descriptor)
    await this.#target.putBlob(descriptor, () => this.#counted(descriptor, signal), { signal, verified: true })
    this.result.blobs += 1
    this.#moved(descriptor, 0)
  }

  async *#counted(descriptor: Descriptor, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source.blob(descriptor, { signal, reuse: true })) {
      this.#moved(descriptor, chunk.length)
      yield chunk
    }
  }

  #skip(descriptor: Descriptor): void {
    this.result.skipped += 1
    this.#moved(descriptor, 0)
  }

  #moved(current: Descriptor, bytes: number): void {
    this.result.bytes += bytes
    this.#options.onProgress?.({ ...this.result, current })
  }
}
