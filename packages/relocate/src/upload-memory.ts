import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { UploadMemory } from '@muster/oci'

/** Registries forget uploads sooner or later; an address older than this is of no use. */
const keptMs = 24 * 60 * 60 * 1000

/**
 * Remembers in a folder where uploads go on. An address may hold a registry's token for that upload: only this user may read it. Whatever
 * goes wrong here only costs the resumption.
 */
export function uploadMemory(folder: string, now: () => number = Date.now): UploadMemory {
  const pathOf = (key: string): string => join(folder, createHash('sha256').update(key).digest('hex'))
  return {
    recall: async (key) => {
      try {
        const path = pathOf(key)
        return now() - (await stat(path)).mtimeMs > keptMs ? undefined : await readFile(path, 'utf8')
      } catch {
        return undefined
      }
    },
    remember: async (key, location) => {
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        const path = pathOf(key)
        await writeFile(`${path}.new`, location, { mode: 0o600 })
        await rename(`${path}.new`, path)
        await removeOld(folder, now())
      } catch {
        // Without it an upload starts again after a kill.
      }
    },
    forget: (key) => rm(pathOf(key), { force: true }).catch(() => {}),
  }
}

async function removeOld(folder: string, now: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    if (now - (await stat(path)).mtimeMs > keptMs) await rm(path, { force: true })
  }
}
