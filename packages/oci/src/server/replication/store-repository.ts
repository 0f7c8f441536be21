import { randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CallOptions, ContentSource, ContentTarget } from '../../content.ts'
import { digestOf, verifyBytes, verifyStream } from '../../digest.ts'
import { writeStreamAtomic } from '../../disk.ts'
import { OciError } from '../../errors.ts'
import { type Descriptor, parseManifest, referrerDescriptor } from '../../manifest.ts'
import { filterReferrers } from '../../referrers.ts'
import type { Store } from '../store.ts'
import type { ChannelGate } from '../upkeep/channel-gate.ts'
import type { Quotas } from '../upkeep/quotas.ts'

/** What stands between the store and who writes to it from inside. */
export interface StoreGuards {
  readonly quotas: Quotas
  readonly gate: ChannelGate
}

/** A repository of this registry as its own upkeep reads and writes it: no HTTP between, the same rules. */
export class StoreRepository implements ContentSource, ContentTarget {
  readonly name: string
  readonly #store: Store
  readonly #guards: StoreGuards | undefined

  /** Without guards it is only read. */
  constructor(store: Store, name: string, guards?: StoreGuards) {
    this.#store = store
    this.name = name
    this.#guards = guards
  }

  async resolve(tagOrDigest: string): Promise<Descriptor | undefined> {
    const found = await this.#store.manifest(this.name, tagOrDigest)
    return found && { mediaType: found.mediaType, digest: found.digest, size: found.bytes.length }
  }

  async manifest(digest: string): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const found = await this.#store.manifest(this.name, digest)
    if (found === undefined) throw new OciError('NotFound', `${this.name} has no manifest ${digest}.`)
    const descriptor = { mediaType: found.mediaType, digest: found.digest, size: found.bytes.length }
    verifyBytes(found.bytes, descriptor, this.name)
    return { descriptor, bytes: found.bytes }
  }

  async *blob(descriptor: Descriptor, options: CallOptions = {}): AsyncGenerator<Uint8Array> {
    if ((await this.#store.blobSize(this.name, descriptor.digest)) === undefined)
      throw new OciError('NotFound', `${this.name} has no blob ${descriptor.digest}.`)
    const content = createReadStream(this.#store.contentPath(descriptor.digest), { highWaterMark: 256 * 1024 })
    for await (const chunk of verifyStream(content, descriptor, this.name)) {
      options.signal?.throwIfAborted()
      yield chunk
    }
  }

  async referrers(digest: string, options: CallOptions & { artifactType?: string | undefined } = {}): Promise<Descriptor[]> {
    return filterReferrers(await this.#store.referrers(this.name, digest), options.artifactType)
  }

  tags(): Promise<string[]> {
    return this.#store.tags(this.name)
  }

  async hasManifest(digest: string): Promise<boolean> {
    return (await this.#store.manifestSize(this.name, digest)) !== undefined
  }

  async hasBlob(descriptor: Descriptor): Promise<boolean> {
    await this.#store.renewBlob(this.name, descriptor.digest)
    return (await this.#store.blobSize(this.name, descriptor.digest)) === descriptor.size
  }

  async putManifest(bytes: Uint8Array, mediaType: string, options: CallOptions & { tag?: string | undefined } = {}): Promise<Descriptor> {
    const { gate } = this.#writable()
    const manifest = parseManifest(bytes, mediaType)
    const descriptor = { mediaType: manifest.mediaType, digest: digestOf(bytes), size: bytes.length }
    const listing = referrerDescriptor(descriptor, manifest)
    await this.#claimed(bytes.length, () =>
      gate.enter(this.name, () =>
        this.#store.exclusively(this.name, () =>
          this.#store.putManifest(
            this.name,
            { digest: descriptor.digest, mediaType: descriptor.mediaType, bytes },
            { tag: options.tag, subject: manifest.subject?.digest, listing },
          ),
        ),
      ),
    )
    return descriptor
  }

  async putBlob(descriptor: Descriptor, content: () => AsyncIterable<Uint8Array>, options: CallOptions = {}): Promise<void> {
    this.#writable()
    options.signal?.throwIfAborted()
    const temporary = join(this.#store.root, 'tmp')
    const file = join(temporary, `${randomUUID()}.blob`)
    await this.#claimed(descriptor.size, async () => {
      try {
        await writeStreamAtomic(file, verifyStream(content(), descriptor, 'the other registry'), temporary)
        await this.#store.adoptBlob(this.name, file, descriptor.digest)
      } finally {
        await rm(file, { force: true })
      }
    })
  }

  /** Content that another repository here holds already need not come again. */
  async adopt(descriptor: Descriptor): Promise<boolean> {
    const size = await this.#store.contentSize(descriptor.digest)
    if (size !== descriptor.size) return false
    let mounted = false
    await this.#claimed(descriptor.size, async () => {
      mounted = await this.#store.mountBlob(this.name, descriptor.digest, null)
    })
    return mounted
  }

  async #claimed(bytes: number, work: () => Promise<void>): Promise<void> {
    const { quotas } = this.#writable()
    const claim = quotas.claim(this.name)
    try {
      await quotas.grow(claim, bytes)
      await work()
      quotas.keep(claim)
    } finally {
      quotas.release(claim)
    }
  }

  #writable(): StoreGuards {
    if (this.#guards === undefined) throw new OciError('Unsupported', `${this.name} is only read here.`)
    return this.#guards
  }
}
