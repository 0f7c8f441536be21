import { createHash, type Hash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureDirectory, errno, readBounded, storageError, syncData } from '../disk.ts'
import { isRepository } from '../reference.ts'
import { BlobWriter } from './blob-writer.ts'
import { Refusal } from './refusal.ts'

export interface UploadLimits {
  /** Uploads open at once; one more is answered 429. */
  readonly sessions: number
  /** Milliseconds without a byte after which an upload is forgotten. */
  readonly expiryMs: number
  /** The largest blob, in bytes. */
  readonly blobBytes: number
}

/** One blob on its way in. `size` counts the bytes that are in its file. */
export interface UploadSession {
  readonly id: string
  readonly repository: string
  readonly directory: string
  size: number
  touchedMs: number
  /** Over the first `size` bytes; undefined after a restart, when it is made again from the file. */
  hash: Hash | undefined
  /** Who writes now. */
  writer: { readonly cut: () => void; readonly done: Promise<unknown> } | undefined
  /** Where that one writes to. */
  file: BlobWriter | undefined
}

/** Takes a piece of content. A promise: nothing more is handed over until it is kept. */
export type Take = (chunk: Uint8Array) => Promise<void> | undefined

/** The bytes of a request, and how to cut it off. */
export interface Incoming {
  /** Hands over all that comes; fails when it breaks off, or when taking fails. */
  readonly read: (take: Take) => Promise<void>
  readonly cut: () => void
}

/** Uploads on disk: they outlive a restart, and expire. */
export class Uploads {
  readonly #directory: string
  readonly #limits: UploadLimits
  readonly #now: () => number
  readonly #sessions = new Map<string, UploadSession>()

  private constructor(directory: string, limits: UploadLimits, now: () => number) {
    this.#directory = directory
    this.#limits = limits
    this.#now = now
  }

  static async open(directory: string, limits: UploadLimits, now: () => number): Promise<Uploads> {
    const uploads = new Uploads(directory, limits, now)
    try {
      await ensureDirectory(directory)
      for (const id of await readdir(directory)) await uploads.#load(id)
      await uploads.expire()
    } catch (error) {
      throw storageError(error, directory)
    }
    return uploads
  }

  /** @throws Refusal TOOMANYREQUESTS */
  async create(repository: string): Promise<UploadSession> {
    if (this.#sessions.size >= this.#limits.sessions) await this.expire()
    if (this.#sessions.size >= this.#limits.sessions) {
      throw new Refusal(429, 'TOOMANYREQUESTS', `more than ${this.#limits.sessions} uploads are open`, { 'retry-after': '10' })
    }
    const id = randomUUID()
    const directory = join(this.#directory, id)
    const session: UploadSession = {
      id,
      repository,
      directory,
      size: 0,
      touchedMs: this.#now(),
      hash: createHash('sha256'),
      writer: undefined,
      file: undefined,
    }
    this.#sessions.set(id, session)
    try {
      await mkdir(directory)
      await writeFile(join(directory, 'repository'), repository)
      await writeFile(dataPath(session), '')
    } catch (error) {
      await this.#forget(session)
      throw storageError(error, directory)
    }
    return session
  }

  /** @throws Refusal BLOB_UPLOAD_UNKNOWN */
  get(repository: string, id: string): UploadSession {
    const session = this.#sessions.get(id)
    if (session === undefined || session.repository !== repository) {
      throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload: it was finished, cancelled or expired')
    }
    return session
  }

  /**
   * Appends bytes, and keeps those that arrived when the request breaks off. Whoever else is still writing is cut off first: a client
   * that comes back to its upload must not wait for its own dead connection.
   * @param start where the client thinks the upload stands
   */
  append(session: UploadSession, start: number | undefined, incoming: Incoming): Promise<void> {
    return this.#exclusively(session, incoming.cut, async () => {
      if (start !== undefined && start !== session.size) {
        throw new Refusal(416, 'BLOB_UPLOAD_INVALID', `the upload stands at ${session.size} bytes, not ${start}`, uploadRange(session))
      }
      const handle = await open(dataPath(session), 'r+')
      try {
        // A write that failed half-way may have left bytes that are not counted.
        await handle.truncate(session.size)
        await this.#write(session, handle, incoming)
      } finally {
        await handle.close()
      }
    })
  }

  async #write(session: UploadSession, handle: FileHandle, incoming: Incoming): Promise<void> {
    const file = new BlobWriter(handle, session.size, session.hash, (size) => {
      session.size = size
      session.touchedMs = this.#now()
    })
    session.file = file
    try {
      try {
        await incoming.read((chunk) => {
          if (file.size + chunk.length > this.#limits.blobBytes)
            throw new Refusal(413, 'SIZE_INVALID', `a blob may have ${this.#limits.blobBytes} bytes`)
          return file.add(chunk)
        })
      } finally {
        session.file = undefined
        // What came before the request broke off is kept.
        await file.end()
      }
    } catch (error) {
      // What fills the disk goes at once: kept for a resumption, it would leave no room for anybody. Nor is a disk relied upon that failed.
      if (file.failed) await this.#forget(session)
      throw error
    }
  }

  /** Puts all bytes that came into the upload's file, and so into its `size`, while more may be coming. */
  async settle(session: UploadSession): Promise<void> {
    await session.file?.flush()
  }

  /**
   * Makes sure that the bytes are on disk and are those of `digest`, hands their file to `keep`, and ends the session, whatever happens.
   * @throws Refusal DIGEST_INVALID
   */
  finish(session: UploadSession, digest: string, incoming: Incoming, keep: (file: string) => Promise<void>): Promise<void> {
    return this.#exclusively(session, incoming.cut, async () => {
      try {
        const actual = `sha256:${(session.hash ?? (await hashOf(dataPath(session)))).digest('hex')}`
        if (actual !== digest) throw new Refusal(400, 'DIGEST_INVALID', `the content is ${actual}`)
        await syncFile(dataPath(session))
        await keep(dataPath(session))
      } finally {
        await this.#forget(session)
      }
    })
  }

  /** Whether anybody is sending a blob to this repository, or has begun to and may go on. */
  isOpen(repository: string): boolean {
    for (const session of this.#sessions.values()) if (session.repository === repository) return true
    return false
  }

  /** Gives an upload up, and cuts off who writes to it. */
  async remove(session: UploadSession): Promise<void> {
    session.writer?.cut()
    await this.#forget(session)
  }

  /** Forgets uploads that nobody goes on with. */
  async expire(): Promise<void> {
    const oldest = this.#now() - this.#limits.expiryMs
    for (const session of this.#sessions.values()) {
      if (session.touchedMs < oldest && session.writer === undefined) await this.remove(session)
    }
  }

  async #forget(session: UploadSession): Promise<void> {
    this.#sessions.delete(session.id)
    await rm(session.directory, { recursive: true, force: true })
  }

  async #exclusively(session: UploadSession, cut: () => void, work: () => Promise<void>): Promise<void> {
    while (session.writer !== undefined) {
      session.writer.cut()
      await session.writer.done
    }
    // It may have been finished by the one just waited for.
    this.get(session.repository, session.id)
    const running = work()
    session.writer = { cut, done: running.catch(() => {}) }
    try {
      await running
    } finally {
      session.writer = undefined
      session.touchedMs = this.#now()
    }
  }

  async #load(id: string): Promise<void> {
    const directory = join(this.#directory, id)
    const repository = new TextDecoder().decode(await readBounded(join(directory, 'repository'), 1024))
    const session: UploadSession = { id, repository, directory, size: 0, touchedMs: 0, hash: undefined, writer: undefined, file: undefined }
    try {
      const { size, mtimeMs } = await stat(dataPath(session))
      session.size = size
      session.touchedMs = mtimeMs
    } catch (error) {
      if (errno(error) !== 'ENOENT' && errno(error) !== 'ENOTDIR') throw error
      session.touchedMs = Number.NEGATIVE_INFINITY
    }
    if (isRepository(repository) && session.touchedMs > 0) this.#sessions.set(id, session)
    else await rm(directory, { recursive: true, force: true })
  }
}

/** `Range` of an upload: the bytes that are there. For none, what registries have always said: `0-0`. */
export function uploadRange(session: UploadSession): { range: string } {
  return { range: `0-${Math.max(0, session.size - 1)}` }
}

function dataPath(session: UploadSession): string {
  return join(session.directory, 'data')
}

async function hashOf(path: string): Promise<Hash> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk)
  return hash
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await syncData(handle)
  } finally {
    await handle.close()
  }
}
