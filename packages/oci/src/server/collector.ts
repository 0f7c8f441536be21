import { OciError } from '../errors.ts'
import { parseManifest } from '../manifest.ts'
import type { Store } from './store.ts'

/** What a collection freed. */
export interface Collected {
  /** Blobs that a repository held and that none of its manifests named. */
  readonly unlinked: number
  /** Content removed from disk. */
  readonly removed: number
  /** Its size. */
  readonly bytes: number
  /** Repositories left as they are, because a manifest there cannot be read and so nobody knows what it names. */
  readonly damaged: readonly string[]
}

export interface CollectorOptions {
  readonly store: Store
  /** Whether an upload to this repository is open. */
  readonly isPushing: (repository: string) => boolean
  /** Milliseconds for which a blob is kept that no manifest names: a push sends blobs first. */
  readonly graceMs: number
  readonly now: () => number
}

/**
 * Removes what nothing names: first the links from repositories to blobs that no manifest there names, then content without any link.
 * Manifests are never removed: they are pulled by digest, tagged or not.
 *
 * Runs beside pushes. A link stays for the grace after it was made, asked for or mounted again, and as long as an upload to its
 * repository is open; it is removed in turn with manifests of its repository being put. Content that was taken by any repository since
 * the run began stays (`Store.collecting`). A kill at any line leaves at most content that nothing names, for the next run.
 */
export class Collector {
  readonly #options: CollectorOptions
  #running: Promise<Collected> | undefined

  constructor(options: CollectorOptions) {
    this.#options = options
  }

  /** One run at a time: who asks during one gets its result. The signal is that of the first. */
  run(signal?: AbortSignal): Promise<Collected> {
    this.#running ??= this.#options.store
      .collecting(() => this.#collect(signal))
      .finally(() => {
        this.#running = undefined
      })
    return this.#running
  }

  async #collect(signal: AbortSignal | undefined): Promise<Collected> {
    const { store, graceMs, now } = this.#options
    const before = now() - graceMs
    const damaged: string[] = []
    let unlinked = 0
    for (const repository of await store.allRepositories()) {
      signal?.throwIfAborted()
      const removed = await this.#unlink(repository, before)
      if (removed === undefined) damaged.push(repository)
      else unlinked += removed
    }
    // Looked at again: a link that a pusher renewed a moment ago is still there.
    const held = new Set<string>()
    for (const repository of await store.allRepositories()) {
      signal?.throwIfAborted()
      for (const hex of await store.heldBlobs(repository)) held.add(hex)
      for (const hex of await store.heldManifests(repository)) held.add(hex)
    }
    let removed = 0
    let bytes = 0
    for await (const hexes of store.contents()) {
      for (const hex of hexes) {
        signal?.throwIfAborted()
        const size = held.has(hex) ? undefined : await store.removeContent(hex, before)
        if (size === undefined) continue
        removed += 1
        bytes += size
      }
    }
    return { unlinked, removed, bytes, damaged }
  }

  /** Undefined: a manifest cannot be read. */
  async #unlink(repository: string, before: number): Promise<number | undefined> {
    const { store, isPushing } = this.#options
    // Read without holding up pushes; in turn with them, only what came meanwhile is read.
    const named = new Map<string, readonly string[]>()
    if (!(await this.#read(repository, named))) return undefined
    const blobs = new Set(await store.heldBlobs(repository))
    for (const hexes of named.values()) for (const hex of hexes) blobs.delete(hex)
    if (blobs.size === 0) return 0
    return store.exclusively(repository, async () => {
      if (isPushing(repository)) return 0
      if (!(await this.#read(repository, named))) return undefined
      for (const hexes of named.values()) for (const hex of hexes) blobs.delete(hex)
      return store.unlinkBlobs(repository, [...blobs], before)
    })
  }

  /** Adds to `named` what each manifest names that is not in it yet. False: one cannot be read. */
  async #read(repository: string, named: Map<string, readonly string[]>): Promise<boolean> {
    for (const hex of await this.#options.store.heldManifests(repository)) {
      if (named.has(hex)) continue
      const manifest = await this.#options.store.manifest(repository, `sha256:${hex}`)
      if (manifest === undefined) {
        // Deleted meanwhile, or its content is gone.
        if ((await this.#options.store.heldManifests(repository)).includes(hex)) return false
        continue
      }
      try {
        const { blobs } = parseManifest(manifest.bytes, manifest.mediaType)
        named.set(
          hex,
          blobs.map((blob) => blob.digest.slice('sha256:'.length)),
        )
      } catch (error) {
        if (error instanceof OciError) return false
        throw error
      }
    }
    return true
  }
}
