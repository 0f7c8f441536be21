import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureDirectory, errno, storageError, writeAll } from '../../disk.ts'

/** One change, or one that was refused. A line of JSON each. */
export interface AuditRecord {
  /** ISO 8601. */
  readonly time: string
  readonly who: string
  /** Address of the client, or `registry` for what the registry does by itself. */
  readonly from: string
  readonly action: string
  readonly repository?: string | undefined
  /** Tag or digest as it was named. */
  readonly reference?: string | undefined
  readonly digest?: string | undefined
  /** HTTP status: from 400 on, it was refused or failed and nothing changed. */
  readonly status?: number | undefined
  readonly detail?: string | undefined
}

export interface AuditLimits {
  /** Bytes of one file; then the next is begun. */
  readonly fileBytes: number
  /** Files kept, the one being written included. */
  readonly files: number
}

export const defaultAuditLimits: AuditLimits = { fileBytes: 16 * 1024 * 1024, files: 8 }
const maximumWaiting = 10_000
const current = 'audit.log'

/**
 * Who changed what, when and from where: `audit.log`, then `audit.log.1` (the one before) and so on. Lines are appended, never
 * changed; the oldest file goes when there are too many.
 */
export class AuditLog {
  readonly #directory: string
  readonly #limits: AuditLimits
  readonly #failed: (error: unknown) => void
  #handle: FileHandle
  #size: number
  #waiting: string[] = []
  #writing: Promise<void> | undefined
  /** Records that found no room while the disk did not answer. */
  dropped = 0

  private constructor(directory: string, limits: AuditLimits, handle: FileHandle, size: number, failed: (error: unknown) => void) {
    this.#directory = directory
    this.#limits = limits
    this.#handle = handle
    this.#size = size
    this.#failed = failed
  }

  static async open(directory: string, limits: AuditLimits, failed: (error: unknown) => void): Promise<AuditLog> {
    try {
      await ensureDirectory(directory)
      const path = join(directory, current)
      const handle = await open(path, 'a', 0o600)
      const { size } = await handle.stat()
      const log = new AuditLog(directory, limits, handle, size, failed)
      // A crash may have cut the last line: what follows begins one of its own.
      if (size > 0 && !(await readEnd(path, 1)).endsWith('\n')) await handle.write('\n')
      return log
    } catch (error) {
      throw storageError(error, directory)
    }
  }

  record(record: AuditRecord): void {
    if (this.#waiting.length >= maximumWaiting) {
      this.dropped += 1
      return
    }
    this.#waiting.push(`${JSON.stringify(record)}\n`)
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when what was recorded is on disk. */
  async flush(): Promise<void> {
    await this.#writing
  }

  /** The newest records, oldest first. What is no record (a line cut by a crash) is left out. */
  async tail(limit: number): Promise<AuditRecord[]> {
    await this.flush()
    const found: AuditRecord[] = []
    for (let at = 0; at < this.#limits.files && found.length < limit; at += 1) {
      const lines = (await readEnd(this.#path(at), this.#limits.fileBytes + 64 * 1024)).split('\n')
      const records = lines.flatMap((line) => parsed(line) ?? [])
      found.unshift(...records.slice(-(limit - found.length)))
    }
    return found
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#handle.close()
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const bytes = Buffer.from(this.#waiting.splice(0).join(''))
      try {
        if (this.#size > 0 && this.#size + bytes.length > this.#limits.fileBytes) await this.#rotate()
        await writeAll({ write: (part, offset) => this.#handle.write(part, offset) }, bytes)
        await this.#handle.datasync()
        this.#size += bytes.length
      } catch (error) {
        this.#failed(error)
      }
    }
  }

  async #rotate(): Promise<void> {
    await this.#handle.close()
    await rm(this.#path(this.#limits.files - 1), { force: true })
    for (let at = this.#limits.files - 2; at >= 0; at -= 1) {
      await rename(this.#path(at), this.#path(at + 1)).catch((error: unknown) => {
        if (errno(error) !== 'ENOENT') throw error
      })
    }
    this.#handle = await open(this.#path(0), 'a', 0o600)
    this.#size = 0
  }

  #path(at: number): string {
    return join(this.#directory, at === 0 ? current : `${current}.${at}`)
  }
}

async function readEnd(path: string, limit: number): Promise<string> {
  let handle: FileHandle
  try {
    handle = await open(path, 'r')
  } catch (error) {
    if (errno(error) === 'ENOENT') return ''
    throw storageError(error, path)
  }
  try {
    const { size } = await handle.stat()
    const bytes = Buffer.alloc(Math.min(size, limit))
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString('utf8', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

function parsed(line: string): AuditRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null && 'time' in value && 'action' in value ? (value as AuditRecord) : undefined
  } catch {
    return undefined
  }
}
