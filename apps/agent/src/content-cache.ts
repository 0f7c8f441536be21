import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ContentSource, type Descriptor, OciError } from '@muster/oci'
import * as z from 'zod'

interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

const digestPattern = /^sha256:([0-9a-f]{64})$/
/** Blobs of bundles are read whole here; what is larger is passed through and not kept. */
const maxKeptBytes = 64 * 1024 * 1024
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

  constructor(dir: string, maxBytes = 256 * 1024 * 1024) {
    this.#dir = dir
    this.#maxBytes = maxBytes
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
  async trim(): Promise<void> {
    const files: { path: string; size: number; used: number }[] = []
    for (const folder of ['manifests', 'blobs', 'referrers']) {
      for (const name of await readdir(join(this.#dir, folder)).catch(() => [])) {
        const path = join(this.#dir, folder, name)
        const found = await stat(path).catch(() => undefined)
        if (found !== undefined) files.push({ path, size: found.size, used: found.mtimeMs })
      }
    }
    let total = files.reduce((sum, file) => sum + file.size, 0)
    for (const file of files.sort((a, b) => a.used - b.used)) {
      if (total <= this.#maxBytes) return
      await rm(file.path, { force: true })
      total -= file.size
    }
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

  /** Best effort: a full or read-only disk costs the cache, not the release. */
  async #write(folder: string, digest: string, content: string | Uint8Array): Promise<void> {
    const path = this.#path(folder, digest)
    if (path === undefined) return
    const partial = join(this.#dir, folder, `.partial-${randomUUID()}`)
    try {
      await this.#put(folder, partial, content)
      await rename(partial, path)
    } catch {
      await rm(partial, { force: true }).catch(() => undefined)
    }
  }

  /** The folder is there but for the first time, or when somebody emptied the cache. */
  async #put(folder: string, file: string, content: string | Uint8Array): Promise<void> {
    try {
      await writeFile(file, content)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      await mkdir(join(this.#dir, folder), { recursive: true })
      await writeFile(file, content)
    }
  }

  #path(folder: string, digest: string): string | undefined {
    const hex = digestPattern.exec(digest)?.[1]
    return hex === undefined ? undefined : join(this.#dir, folder, hex)
  }
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
