import { access, mkdir, readlink, rm, symlink } from 'node:fs/promises'
import path from 'node:path'
import { evaluateRequirements, gatherFacts, type HostFacts, type Requirement } from '@muster/host'
import type { Context } from './context.ts'
import { Failure } from './errors.ts'

const link = (context: Context): string => path.join(context.state, 'bin')

/** The kubectl that was built with the clusters. */
export async function kubectlPath(context: Context): Promise<string> {
  const file = path.join(link(context), 'kubectl')
  try {
    await access(file)
    return file
  } catch (cause) {
    throw new Failure(`Instance "${context.instance}" is not up: it has no kubectl in ${link(context)}. Run "muster up" first.`, { cause })
  }
}

/** Remembers in the state which binaries the instance runs, as the folder `bin`. */
export async function rememberBinaries(context: Context, dir: string): Promise<void> {
  await mkdir(context.state, { recursive: true, mode: 0o700 })
  if ((await readlink(link(context)).catch(() => undefined)) === dir) return
  await rm(link(context), { force: true })
  await symlink(dir, link(context))
}

/** What embedded clusters need of this host, against what it has. */
export async function checkHost(context: Context): Promise<{ readonly facts: HostFacts; readonly requirements: readonly Requirement[] }> {
  const facts = await gatherFacts({
    repoDir: context.checkout,
    cacheDir: context.cache,
    stateDir: context.state,
    env: context.environment,
    signal: context.signal,
  })
  return { facts, requirements: evaluateRequirements(facts) }
}
