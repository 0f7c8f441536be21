import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, statfs, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ContentSource, type Descriptor, OciError } from '@muster/oci'
import * as z from 'zod'
import { codeOf } from './error.ts'

interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface ContentCacheOptions {
  readonly maxBytes?: number
  readonly told?: (trouble: string | undefined) => void
}

const digestPattern = /^sha256:([0-9a-f]{64})$/
/** Blobs of bundles are read whole here; what is larger is passed through and not kept. */
const maxKeptBytes = 64 * 1024 * 1024
/** Folders and the ends of blocks take room too. */
const slackBytes = 64 * 1024
const folders = ['manifests', 'blobs', 'referrers'] as const
const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: z.string().regex(digestPattern),
  size: z.int().min(0),
  artifactType: z.string().optional(),
  annotations: z.record(z.string(), z.string()).optional(),
})
const manifestFileSchema = z.object({ descriptor: descriptorSchema, content: z.string() })

/**
 * A folder of content by digest, so that what was pulled once can be read without the registry. Whatever is read from it is verified
 * against its digest again: the folder is a cache, not something to trust.
 */
export class ContentCache {
  readonly #dir: string
  readonly #maxBytes: number
  readonly #told: (trouble: string | undefined) => void
  #trouble: string | undefined

  /** `told` hears the system's name of what keeps the disk from taking content, such as `ENOSPC`, and `undefined` when it takes some again. */
  constructor(dir: string, { maxBytes = 256 * 1024 * 1024, told = () => {} }: ContentCacheOptions = {}) {
    this.#dir = dir
    this.#maxBytes = maxBytes
    this.#told = told
  }

  /** Whether the disk took what it was given last. */
  get writable(): boolean {
    return this.#trouble === undefined
  }

  /** A source that answers from the cache first, and keeps what it gets from `remote`. */
  over(remote: ContentSource): ContentSource {
    return {
      resolve: (tagOrDigest, options) => remote.resolve(tagOrDigest, options),
      manifest: (digest, options) => this.#manifest(remote, digest, options),
      blob: (descriptor, options) => this.#blob(remote, descriptor, options),
      referrers: (digest, options) => this.#referrers(remote, digest, options),
    }
  }

  async #manifest(remote: ContentSource, digest: string, options?: CallOptions): Promise<{ descriptor: Descriptor; bytes: Uint8Array }> {
    const kept = await this.#read('manifests', digest)
    if (kept !== undefined) {
      const parsed = manifestFileSchema.safeParse(json(kept))
      if (parsed.success) {
        const bytes = new Uint8Array(Buffer.from(parsed.data.content, 'base64'))
        if (matches(bytes, digest)) return { descriptor: parsed.data.descriptor as Descriptor, bytes }
      }
    }
    const { descriptor, bytes } = await remote.manifest(digest, options)
    await this.#write('manifests', digest, JSON.stringify({ descriptor, content: Buffer.from(bytes).toString('base64') }))
    return { descriptor, bytes }
  }

  async *#blob(remote: ContentSource, descriptor: Descriptor, options?: CallOptions): AsyncGenerator<Uint8Array> {
    const kept = descriptor.size <= maxKeptBytes ? await this.#read('blobs', descriptor.digest) : undefined
    if (kept !== undefined && kept.length === descriptor.size && matches(kept, descriptor.digest)) {
      yield kept
      return
    }
    const chunks: Uint8Array[] = []
    for await (const chunk of remote.blob(descriptor, options)) {
      if (descriptor.size <= maxKeptBytes) chunks.push(chunk)
      yield chunk
    }
    // The source has verified it by now, or thrown.
    if (chunks.length > 0 || descriptor.size === 0) await this.#write('blobs', descriptor.digest, Buffer.concat(chunks))
  }

  /**
   * The registry's list where it answers, since new signatures come; the last one where it does not. A list that is old or forged
   * can only leave signatures out: what it names is verified.
   */
  async #referrers(
    remote: ContentSource,
    digest: string,
    options?: CallOptions & { artifactType?: string | undefined },
  ): Promise<Descriptor[]> {
    const type = options?.artifactType
    const name = `sha256:${createHash('sha256')
      .update(`${digest} ${type ?? ''}`)
      .digest('hex')}`
    try {
      const found = await remote.referrers(digest, options)
      await this.#write('referrers', name, JSON.stringify(found))
      return found
    } catch (error) {
      if (!(error instanceof OciError && error.transient)) throw error
      const parsed = z
        .array(descriptorSchema)
        .max(1000)
        .safeParse(json(await this.#read('referrers', name)))
      if (!parsed.success) throw error
      return parsed.data as Descriptor[]
    }
  }

  /** Deletes what was not used for longest, until the cache is below its size. */
  async trim(maxBytes = this.#maxBytes): Promise<void> {
    const files = await this.#files()
    let total = files.reduce((sum, file) => sum + file.size, 0)
    for (const file of files.sort((a, b) => a.used - b.used)) {
      if (total <= maxBytes) return
      await rm(file.path, { force: true })
      total -= file.size
    }
  }

  async #files(): Promise<{ path: string; size: number; used: number }[]> {
    const files: { path: string; size: number; used: number }[] = []
    for (const folder of folders) {
      for (const name of await readdir(join(this.#dir, folder)).catch(() => [])) {
        const path = join(this.#dir, folder, name)
        const found = await stat(path).catch(() => undefined)
        if (found !== undefined) files.push({ path, size: found.size, used: found.mtimeMs })
      }
    }
    return files
  }

  async #read(folder: string, digest: string): Promise<Uint8Array | undefined> {
    const path = this.#path(folder, digest)
    if (path === undefined) return undefined
    try {
      const content = await readFile(path)
      const now = new Date()
      await utimes(path, now, now)
      return content
    } catch {
      // Not there, or not readable: both mean that the registry is asked.
      return undefined
    }
  }

  /** Best effort: a full or read-only disk costs the cache, not the release. What was used for longest makes room first. */
  async #write(folder: string, digest: string, content: string | Uint8Array): Promise<void> {
    const path = this.#path(folder, digest)
    if (path === undefined) return
    try {
      await this.#put(path, content)
      this.#tell(undefined)
    } catch (error) {
      this.#tell(codeOf(error))
    }
  }

  async #put(path: string, content: string | Uint8Array): Promise<void> {
    try {
      await writeWhole(path, content)
    } catch (error) {
      if (!isFull(error)) throw error
      const { bavail, bsize } = await statfs(this.#dir)
      if (!(await this.#makeRoom(Buffer.byteLength(content) + slackBytes - bavail * bsize))) throw error
      await writeWhole(path, content)
    }
  }

  /** Deletes what was not used for longest, so many bytes of it; nothing where there is less. */
  async #makeRoom(bytes: number): Promise<boolean> {
    const files = await this.#files()
    const total = files.reduce((sum, { size }) => sum + size, 0)
    if (total < bytes) return false
    await this.trim(total - bytes)
    return true
  }

  #tell(trouble: string | undefined): void {
    if (this.#trouble === trouble) return
    this.#trouble = trouble
    this.#told(trouble)
  }

  #path(folder: string, digest: string): string | undefined {
    const hex = digestPattern.exec(digest)?.[1]
    return hex === undefined ? undefined : join(this.#dir, folder, hex)
  }
}

/** There is all of it or nothing, for who reads; after a crash of the machine what is read is verified. */
async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const folder = dirname(path)
  const partial = join(folder, `.partial-${randomUUID()}`)
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(partial, content)
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined)
    throw error
  }
}

function isFull(error: unknown): boolean {
  return codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT'
}

function matches(bytes: Uint8Array, digest: string): boolean {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` === digest
}

function json(bytes: Uint8Array | undefined): unknown {
  if (bytes === undefined) return undefined
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
}
