import { readdir } from 'node:fs/promises'
import { BuildError } from './build-error.ts'
import type { PackageManager, Requirement } from './requirements.ts'
import { type Environment, runTool } from './run-tool.ts'

export interface InstallPlan {
  readonly manager: PackageManager
  readonly packages: readonly string[]
  /** What is run, to be shown before it is. */
  readonly install: readonly string[]
  /** Fetches the lists of packages, where the manager does not do that by itself. */
  readonly refresh?: readonly string[]
}

const installTimeoutMs = 20 * 60_000

/**
 * What to install so that the requirements that packages can meet are met. Undefined where there is nothing to install or
 * no package manager that is known.
 */
export function planInstall(requirements: readonly Requirement[], manager: PackageManager | undefined): InstallPlan | undefined {
  const packages = [...new Set(requirements.filter((each) => !each.ok).flatMap((each) => each.packages ?? []))].sort()
  if (manager === undefined || packages.length === 0) return undefined
  switch (manager) {
    case 'apt':
      return {
        ...{ manager, packages },
        install: ['apt-get', 'install', '--yes', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=120', ...packages],
        refresh: ['apt-get', 'update', '-o', 'DPkg::Lock::Timeout=120'],
      }
    case 'dnf':
      return { manager, packages, install: ['dnf', 'install', '--assumeyes', '--setopt=install_weak_deps=False', ...packages] }
    case 'zypper':
      return { manager, packages, install: ['zypper', '--non-interactive', 'install', '--no-recommends', ...packages] }
    case 'apk':
      return { manager, packages, install: ['apk', 'add', ...packages], refresh: ['apk', 'update'] }
  }
}

/**
 * Carries a plan out. The lists of packages are fetched first where there are none, and once more where installing failed:
 * old lists name packages that the mirror no longer has.
 *
 * @throws BuildError ToolMissing, ToolFailed, Timeout, Aborted
 */
export async function installPackages(
  plan: InstallPlan,
  o: { env: Environment; signal: AbortSignal; onLine: (line: string) => void; hasLists?: () => Promise<boolean> },
): Promise<void> {
  const env = { ...o.env, DEBIAN_FRONTEND: 'noninteractive' }
  const run = async ([command = '', ...args]: readonly string[]): Promise<void> => {
    await runTool({ command, args, env, signal: o.signal, timeoutMs: installTimeoutMs, onLine: o.onLine })
  }
  if (plan.refresh === undefined) return await run(plan.install)
  if (!(await (o.hasLists ?? aptListsThere)())) {
    await run(plan.refresh)
    return await run(plan.install)
  }
  try {
    await run(plan.install)
  } catch (error) {
    if (!(error instanceof BuildError) || error.code !== 'ToolFailed') throw error
    await run(plan.refresh)
    await run(plan.install)
  }
}

async function aptListsThere(): Promise<boolean> {
  const names = await readdir('/var/lib/apt/lists').catch(() => [])
  return names.some((name) => /_Packages(\.[a-z0-9]+)?$/.test(name))
}
