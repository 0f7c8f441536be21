import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { OciError } from '../../errors.ts'
import { type Descriptor, parseManifest } from '../../manifest.ts'
import { Refusal } from '../refusal.ts'
import type { Store } from '../store.ts'
import { GrowingFile } from './growing-file.ts'

const parallelDownloads = 8
const waitingDownloads = 1000
const rememberedSizes = 100_000
/** Of a repository, the manifests that are looked through for a blob that nobody asked a manifest for since the start. */
const manifestsLookedAt = 10_000

/** What is fetched for a repository: where from, and what may stand in its way. */
export interface BlobSource {
  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Uint8Array>
  /** Called before anything is fetched; throwing refuses it. Returns what to call when it is there, or not. */
  claim(bytes: number): Promise<(kept: boolean) => void>
}

/** Fetches blobs into the store while they are read, each once however many ask for it. Only what a manifest here names is fetched. */
export class BlobCache {
  readonly #store: Store
  readonly #limitBytes: number
  readonly #closed: AbortSignal
  readonly #sizes = new Map<string, number>()
  readonly #running = new Map<string, Promise<GrowingFile>>()
  readonly #ends = new Set<Promise<unknown>>()
  readonly #waiting: (() => void)[] = []
  #busy = 0

  constructor(options: { readonly store: Store; readonly limitBytes: number; readonly closed: AbortSignal }) {
    this.#store = options.store
    this.#limitBytes = options.limitBytes
    this.#closed = options.closed
  }

  /** Remembers the sizes that a manifest promises. */
  learn(bytes: Uint8Array, mediaType: string): void {
    for (const { digest, size } of parseManifest(bytes, mediaType).blobs) {
      this.#sizes.delete(digest)
      this.#sizes.set(digest, size)
    }
    while (this.#sizes.size > rememberedSizes) for (const oldest of this.#sizes.keys().take(1)) this.#sizes.delete(oldest)
  }

  /** The size of a blob that a manifest of this repository names. */
  async size(repository: string, digest: string): Promise<number | undefined> {
    if (!this.#sizes.has(digest)) {
      for (const hex of (await this.#store.heldManifests(repository)).slice(0, manifestsLookedAt)) {
        const manifest = await this.#store.manifest(repository, `sha256:${hex}`)
        if (manifest !== undefined) this.learn(manifest.bytes, manifest.mediaType)
        if (this.#sizes.has(digest)) break
      }
    }
    return this.#sizes.get(digest)
  }

  /** The blob as it comes; the same file for all that ask meanwhile. */
  open(repository: string, digest: string, size: number, source: BlobSource): Promise<GrowingFile> {
    const key = `${repository} ${digest}`
    const running = this.#running.get(key)
    if (running !== undefined) return running
    const opened = this.#start(repository, { mediaType: 'application/octet-stream', digest, size }, source, key)
    this.#running.set(key, opened)
    opened.catch(() => this.#running.delete(key))
    return opened
  }

  /** Waits for what is running; call after the signal was aborted. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#ends)
  }

  async #start(repository: string, descriptor: Descriptor, source: BlobSource, key: string): Promise<GrowingFile> {
    if (descriptor.size > this.#limitBytes) throw new Refusal(413, 'SIZE_INVALID', `a blob may have ${this.#limitBytes} bytes`)
    await this.#enter()
    let settle: (kept: boolean) => void
    let file: GrowingFile
    try {
      settle = await source.claim(descriptor.size)
      file = await GrowingFile.create(join(this.#store.root, 'tmp', randomUUID()), descriptor.size)
    } catch (error) {
      this.#leave()
      throw error
    }
    const end = this.#fetch(repository, descriptor, source, file)
      .then(settle, () => settle(false))
      .finally(() => {
        this.#running.delete(key)
        this.#ends.delete(end)
        this.#leave()
      })
    this.#ends.add(end)
    return file
  }

  async #fetch(repository: string, descriptor: Descriptor, source: BlobSource, file: GrowingFile): Promise<boolean> {
    try {
      for await (const chunk of source.blob(descriptor, this.#closed)) await file.append(chunk)
      await file.sync()
      // In its place first: who reads to the end and asks again finds it there.
      await this.#store.adoptBlob(repository, file.path, descriptor.digest)
      await file.finish()
      return true
    } catch (error) {
      await rm(file.path, { force: true })
      await file.fail(error)
      return false
    }
  }

  async #enter(): Promise<void> {
    if (this.#busy < parallelDownloads) {
      this.#busy += 1
      return
    }
    if (this.#waiting.length >= waitingDownloads)
      throw new Refusal(429, 'TOOMANYREQUESTS', 'too many blobs are being fetched from upstream registries', { 'retry-after': '5' })
    // Who leaves hands his place on.
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
    if (this.#closed.aborted) {
      this.#leave()
      throw new OciError('Unreachable', 'The registry is closing.')
    }
  }

  #leave(): void {
    const next = this.#waiting.shift()
    if (next !== undefined) next()
    else this.#busy -= 1
  }
}
