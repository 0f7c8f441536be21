import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ensureDirectory, errno, readBounded, storageError, syncDirectory, writeAll, writeAtomic } from '../disk.ts'
import { OciError } from '../errors.ts'
import { type Part, partName, partsListPath, sha256Of, writePartsList } from './parts.ts'
import type { Sink, Start } from './sink.ts'
import type { Frame } from './zstd.ts'

interface FinishedPart extends Part {
  /** In bytes. */
  readonly size: number
  readonly frames: readonly Frame[]
}

interface Journal {
  readonly plan: string
  readonly parts: readonly FinishedPart[]
}

const maximumJournalBytes = 256 * 1024 * 1024

/** Parts of at most `partBytes`, and a list of their checksums that appears when all are there. */
export class PartsSink implements Sink {
  readonly start: Start
  readonly #file: string
  readonly #partBytes: number
  readonly #plan: string
  readonly #parts: FinishedPart[]
  #current: { handle: FileHandle; hash: Hash; size: number; frames: Frame[] } | undefined

  private constructor(file: string, partBytes: number, plan: string, parts: readonly FinishedPart[]) {
    this.#file = file
    this.#partBytes = partBytes
    this.#plan = plan
    this.#parts = [...parts]
    const frames = parts.flatMap((part) => part.frames)
    this.start = { offset: frames.reduce((sum, { size }) => sum + size, 0), frames }
  }

  /** @param plan says what is written: parts of the same plan are gone on from, others are replaced */
  static async open(file: string, partBytes: number, plan: string): Promise<PartsSink> {
    try {
      await ensureDirectory(dirname(file))
      if (await isThere(file)) {
        throw new OciError('Storage', `${file} is there already, as one file. Move it away, or give the parts another name.`)
      }
      const parts = await intactParts(file, plan)
      // Until all parts are new, the old list would name a mixture.
      await rm(partsListPath(file), { force: true })
      return new PartsSink(file, partBytes, plan, parts)
    } catch (error) {
      throw storageError(error, file)
    }
  }

  async write(bytes: Uint8Array, frame: Frame): Promise<void> {
    const path = this.#temporary()
    try {
      if (this.#current !== undefined && this.#current.size + bytes.length > this.#partBytes) await this.#endPart()
      this.#current ??= { handle: await open(this.#temporary(), 'w'), hash: createHash('sha256'), size: 0, frames: [] }
      const part = this.#current
      part.hash.update(bytes)
      await writeAll(part.handle, bytes)
      part.size += bytes.length
      part.frames.push(frame)
    } catch (error) {
      throw storageError(error, path)
    }
  }

  /** Makes it visible. The files that it is in. */
  async finish(): Promise<string[]> {
    await this.#endPart()
    const parts = this.#parts.map(({ name, sha256 }) => ({ name, sha256 }))
    await writeAtomic(partsListPath(this.#file), writePartsList(parts), dirname(this.#file))
    await rm(journalPath(this.#file), { force: true })
    for (let at = this.#parts.length; await isThere(this.#path(partName(this.#file, at))); at += 1)
      await rm(this.#path(partName(this.#file, at)))
    return [...parts.map(({ name }) => this.#path(name)), partsListPath(this.#file)]
  }

  /** Gives up; `keep` leaves what a later run can go on from. */
  async abandon(keep: boolean): Promise<void> {
    await this.#current?.handle.close().catch(() => {})
    await rm(this.#temporary(), { force: true })
    if (keep) return
    for (const { name } of this.#parts) await rm(this.#path(name), { force: true })
    await rm(journalPath(this.#file), { force: true })
  }

  async #endPart(): Promise<void> {
    const part = this.#current
    if (part === undefined) return
    await part.handle.sync()
    await part.handle.close()
    this.#current = undefined
    const name = partName(this.#file, this.#parts.length)
    await rename(`${this.#path(name)}.partial`, this.#path(name))
    await syncDirectory(dirname(this.#file))
    this.#parts.push({ name, sha256: part.hash.digest('hex'), size: part.size, frames: part.frames })
    const journal: Journal = { plan: this.#plan, parts: this.#parts }
    await writeAtomic(journalPath(this.#file), new TextEncoder().encode(JSON.stringify(journal)), dirname(this.#file))
  }

  #temporary(): string {
    return `${this.#path(partName(this.#file, this.#parts.length))}.partial`
  }

  #path(name: string): string {
    return join(dirname(this.#file), name)
  }
}

function journalPath(file: string): string {
  return `${file}.unfinished`
}

/** The parts that an earlier run of the same plan finished, as far as they are what it wrote. */
async function intactParts(file: string, plan: string): Promise<FinishedPart[]> {
  const bytes = await readBounded(journalPath(file), maximumJournalBytes)
  const journal = bytes === undefined ? undefined : readJournal(bytes)
  if (journal?.plan !== plan) return []
  const intact: FinishedPart[] = []
  for (const [at, part] of journal.parts.entries()) {
    // The table of frames is made again, with what is in it.
    if (part.frames.some(({ size }) => size === 0)) break
    if (part.name !== partName(file, at) || (await sha256Of(join(dirname(file), part.name))) !== part.sha256) break
    intact.push(part)
  }
  return intact
}

/** This program's own note: one that is damaged is as good as none. */
function readJournal(bytes: Uint8Array): Journal | undefined {
  try {
    const json = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Journal>
    const isWhole =
      typeof json.plan === 'string' &&
      Array.isArray(json.parts) &&
      json.parts.every((part: Partial<FinishedPart> | null) => typeof part?.name === 'string' && Array.isArray(part.frames))
    return isWhole ? (json as Journal) : undefined
  } catch {
    return undefined
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errno(error) === 'ENOENT') return false
    throw error
  }
}
