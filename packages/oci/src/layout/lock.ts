import { randomUUID } from 'node:crypto'
import { link, rename, rm, stat, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { errno } from '../disk.ts'
import { OciError } from '../errors.ts'

/** What it guards takes milliseconds: a lock this old was left by a process that died. */
const staleMs = 10_000
const deadlineMs = 30_000
const pollMs = 5

/**
 * Runs `work` while holding a lock file, against other processes too. A lock that a killed process left is taken over.
 * @throws OciError `Timeout` when others hold it too long
 */
export async function withLockFile<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const started = performance.now()
  const own = `${path}.${randomUUID()}`
  await writeFile(own, '')
  try {
    // `link` fails where the lock exists: the one step that only one process can win.
    while (!(await tryLink(own, path))) {
      signal?.throwIfAborted()
      if (performance.now() - started > deadlineMs) {
        throw new OciError('Timeout', `${path} is held by another process for ${deadlineMs} ms. If none is running, delete it.`)
      }
      await breakStale(path)
      await sleep(pollMs)
    }
    try {
      return await work()
    } finally {
      await rm(path, { force: true })
    }
  } finally {
    await rm(own, { force: true })
  }
}

async function tryLink(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path)
    return true
  } catch (error) {
    if (errno(error) === 'EEXIST') return false
    throw error
  }
}

async function breakStale(path: string): Promise<void> {
  try {
    const { ctimeMs } = await stat(path)
    if (Date.now() - ctimeMs < staleMs) return
    // Moved away first, so that of two who see it stale only one removes it.
    const aside = `${path}.${randomUUID()}`
    await rename(path, aside)
    await rm(aside, { force: true })
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error
  }
}
