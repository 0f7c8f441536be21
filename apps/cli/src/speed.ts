import { mkdtemp, open, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { Requirement } from '@muster/host'
import type { Context } from './context.ts'
import { nearestPresent } from './folders.ts'

const fewestProcessors = 2
/** etcd writes to disk before it answers: its authors ask for less than this (etcd.io/docs, hardware). */
const slowestSyncMs = 10
const trials = 15

/** What makes embedded clusters slow without being in their way: all of it warnings. */
export async function checkSpeed(context: Context): Promise<Requirement[]> {
  const processors = availableParallelism()
  const sync = await medianSyncMs(await nearestPresent(context.state))
  return [
    warning('processors', processors >= fewestProcessors, `${processors}`, `${fewestProcessors} processors`, {
      fix: 'Give this machine more processors; the first build takes long on one.',
    }),
    warning(
      'disk/sync',
      sync === undefined || sync <= slowestSyncMs,
      sync === undefined ? 'not tried' : `${sync.toFixed(1)} ms for a write`,
      `less than ${slowestSyncMs} ms`,
      { fix: `Set MUSTER_STATE to a folder on a faster disk than that of ${context.state}: each change in a cluster waits for it.` },
    ),
  ]
}

function warning(id: string, ok: boolean, found: string, needed: string, { fix }: { readonly fix: string }): Requirement {
  return ok ? { id, ok, found, needed, fix: '' } : { id, ok, warning: true, found, needed, fix }
}

/** How long it takes until a small write is on the disk, in milliseconds; undefined where this user may not write. */
async function medianSyncMs(base: string): Promise<number | undefined> {
  let dir: string | undefined
  try {
    dir = await mkdtemp(path.join(base, '.muster-sync-'))
    const file = await open(path.join(dir, 'probe'), 'w')
    try {
      const times: number[] = []
      for (let trial = 0; trial < trials; trial++) {
        const started = performance.now()
        await file.write(Buffer.alloc(2048, trial))
        await file.datasync()
        times.push(performance.now() - started)
      }
      return times.toSorted((a, b) => a - b)[Math.floor(trials / 2)]
    } finally {
      await file.close()
    }
  } catch {
    return undefined
  } finally {
    if (dir !== undefined) await rm(dir, { recursive: true, force: true })
  }
}
