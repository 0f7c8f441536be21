import { mkdtemp, rmdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'

/** The path itself, or the nearest one above it that is there. */
export async function nearestPresent(place: string): Promise<string> {
  const found = await stat(place).catch(() => undefined)
  const parent = path.dirname(place)
  return found !== undefined || parent === place ? place : nearestPresent(parent)
}

/**
 * Folders that cannot be written are better found now than after a build. Tried where they would be made: Node's own making of
 * a folder with those above it never ends below /proc.
 */
export async function checkFolders(context: Context): Promise<void> {
  for (const [folder, variable] of [
    [context.state, 'MUSTER_STATE'],
    [context.cache, 'MUSTER_CACHE'],
  ] as const) {
    try {
      await rmdir(await mkdtemp(path.join(await nearestPresent(folder), '.muster-writable-')))
    } catch (cause) {
      throw new Failure(`${folder} cannot be written. Mend that, or set ${variable} to another folder.`, { cause })
    }
  }
}
