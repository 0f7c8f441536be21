import { readdir, rm } from 'node:fs/promises'
import { takeDown } from '@muster/host'
import { type Context, workLayout } from '../context.ts'
import { Failure } from '../errors.ts'
import { requireRoot } from '../root.ts'

/** What an instance keeps in its state folder. */
const own = new Set(['bin', 'clusters', 'host.json', 'instance.json', 'keys', 'logs', 'nodes', 'pause.tar', 'pki', 'registry', 'run'])

/** `muster down`: stops everything of the instance; with `--purge`, forgets its state too. */
export async function down(context: Context, options: { readonly purge: boolean }): Promise<void> {
  requireRoot()
  const held = await readdir(context.state).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  if (options.purge) demandState(context, held)
  await takeDown({
    instance: context.instance,
    state: context.state,
    purge: options.purge,
    signal: context.signal,
    onProgress: (line) => context.stderr.write(`${line}\n`),
  })
  if (options.purge) await rm(workLayout(context), { recursive: true, force: true })
  context.stdout.write(
    `Instance "${context.instance}" is down${held.length === 0 ? '; it has no state.' : afterwards(context, options.purge)}\n`,
  )
}

function afterwards(context: Context, purge: boolean): string {
  return purge
    ? ` and forgotten. Builds stay in ${context.cache}.`
    : `. Its state stays in ${context.state}; "muster up" resumes it, "muster down --purge" forgets it.`
}

/** MUSTER_STATE may be mistyped, and --purge removes the whole folder. */
function demandState(context: Context, held: readonly string[]): void {
  const foreign = held.find((name) => !own.has(name))
  if (foreign === undefined || held.includes('instance.json')) return
  throw new Failure(
    `${context.state} is not the state of an instance (it holds ${foreign}), so it is left alone. Set MUSTER_STATE to the folder that "muster up" was given.`,
  )
}
