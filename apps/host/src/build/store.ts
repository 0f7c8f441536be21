import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { fileDigest } from './content-key.ts'

const entrySchema = z.object({
  key: z.string(),
  files: z.record(z.string(), z.object({ size: z.number(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
})

export interface StoredEntry {
  readonly dir: string
  /** SHA-256 by file name, 64 hexadecimal digits. */
  readonly digests: Readonly<Record<string, string>>
}

const entryFile = 'entry.json'

/**
 * Build results on disk, a folder each, named `<name>-<start of the content key>`. A folder appears by one rename when all of
 * it is there, and it is believed only while every file in it has the digest that was written down then: a power cut or a
 * hand in the cache leads to a new build, not to a strange binary.
 */
export class BuildStore {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  #dir(name: string, key: string): string {
    return join(this.root, `${name}-${key.slice(0, 24)}`)
  }

  /** The entry, when it is there and whole; undefined otherwise. */
  async find(name: string, key: string, signal: AbortSignal): Promise<StoredEntry | undefined> {
    const dir = this.#dir(name, key)
    let entry: z.infer<typeof entrySchema>
    try {
      entry = entrySchema.parse(JSON.parse(await readFile(join(dir, entryFile), 'utf8')))
    } catch {
      return undefined // Absent or unreadable is the same: it has to be built.
    }
    if (entry.key !== key) return undefined
    const digests: Record<string, string> = {}
    for (const [file, expected] of Object.entries(entry.files)) {
      const path = join(dir, file)
      const found = await stat(path).catch(() => undefined)
      if (found?.size !== expected.size || (await fileDigest(path, signal)) !== expected.sha256) return undefined
      digests[file] = expected.sha256
    }
    return { dir, digests }
  }

  /**
   * Makes an entry: `make` fills an empty folder, whose regular files then become the entry. Call it under the lock. What a
   * broken-off attempt left is removed first.
   */
  async make(name: string, key: string, signal: AbortSignal, make: (dir: string) => Promise<void>): Promise<StoredEntry> {
    return await this.scratch(async (work) => {
      await make(work)
      const files: Record<string, { size: number; sha256: string }> = {}
      for (const item of await readdir(work, { withFileTypes: true })) {
        if (!item.isFile()) continue
        const path = join(work, item.name)
        files[item.name] = { size: (await stat(path)).size, sha256: await fileDigest(path, signal) }
      }
      await writeFile(join(work, entryFile), `${JSON.stringify({ key, files }, undefined, 2)}\n`)
      const dir = this.#dir(name, key)
      await rm(dir, { recursive: true, force: true })
      await rename(work, dir)
      return { dir, digests: Object.fromEntries(Object.entries(files).map(([file, { sha256 }]) => [file, sha256])) }
    })
  }

  /** A folder for the time of one piece of work, on the same file system; removed afterwards, whatever happened. */
  async scratch<T>(work: (dir: string) => Promise<T>): Promise<T> {
    const dir = join(this.root, 'tmp', randomBytes(6).toString('hex'))
    await mkdir(dir, { recursive: true, mode: 0o755 })
    try {
      return await work(dir)
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  }

  /** Removes what attempts that were killed left. Call it under the lock. */
  async clean(): Promise<void> {
    await rm(join(this.root, 'tmp'), { recursive: true, force: true })
  }
}
