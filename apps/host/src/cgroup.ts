import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { HostError } from './errors.ts'
import { isMissing } from './files.ts'

/** How control groups are mounted: one tree (v2), or one for each controller (v1, also beside an empty v2 tree). */
export type CgroupLayout =
  | { readonly version: 2; readonly root: string }
  | { readonly version: 1; readonly roots: readonly string[]; readonly unified?: string }

/**
 * Reads the layout from the text of /proc/mounts.
 * @throws HostError `NotReady` when the machine has none
 */
export function cgroupLayout(mounts: string): CgroupLayout {
  const entries = mounts.split('\n').map((line) => line.split(' '))
  const roots = entries.filter(([, , type]) => type === 'cgroup').map(([, path]) => path ?? '')
  const unified = entries.find(([, , type]) => type === 'cgroup2')?.[1]
  if (roots.length > 0) return { version: 1, roots, ...(unified === undefined ? {} : { unified }) }
  if (unified === undefined)
    throw new HostError('NotReady', 'No control groups are mounted under /sys/fs/cgroup; mount them, then start again.')
  return { version: 2, root: unified }
}

/** The control groups of the machine, addressed by path below the root ("muster-dev/hub-1"). */
export class Cgroups {
  readonly #layout: CgroupLayout

  constructor(layout: CgroupLayout) {
    this.#layout = layout
  }

  static async detect(): Promise<Cgroups> {
    return new Cgroups(cgroupLayout(await readFile('/proc/mounts', 'utf8')))
  }

  get #roots(): readonly string[] {
    return this.#layout.version === 2 ? [this.#layout.root] : this.#layout.roots
  }

  /** Also the v2 tree beside v1: the host puts nothing there, but the container runtime does. */
  get #allRoots(): readonly string[] {
    return this.#layout.version === 1 && this.#layout.unified !== undefined ? [...this.#roots, this.#layout.unified] : this.#roots
  }

  /** Makes a group with its parents. A v1 cpuset takes no process before it has processors; v2 gives a child only the controllers its parent passes on. */
  async ensure(path: string): Promise<void> {
    const steps = path.split('/')
    for (const root of this.#roots) {
      for (let depth = 1; depth <= steps.length; depth++) {
        const parent = join(root, ...steps.slice(0, depth - 1))
        const group = join(root, ...steps.slice(0, depth))
        if (this.#layout.version === 2) await passOnControllers(parent)
        await mkdir(group, { recursive: true })
        if (this.#layout.version === 1) await inheritCpuset(parent, group)
      }
    }
  }

  /** The files into which a process writes 0 to join a group. */
  joinFiles(path: string): string[] {
    return this.#roots.map((root) => join(root, path, 'cgroup.procs'))
  }

  /** The processes of a group and of all below it, once each. */
  async pids(path: string): Promise<number[]> {
    const found = new Set<number>()
    for (const root of this.#allRoots) {
      for (const group of await groupsBelow(join(root, path))) {
        for (const pid of await processes(group)) found.add(pid)
      }
    }
    return [...found]
  }

  /**
   * Kills what is left in a group and removes it with all below it.
   * @throws HostError `NotReady` when something does not go within `timeoutMs`
   */
  async remove(path: string, timeoutMs = 20_000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      for (const pid of await this.pids(path)) kill(pid)
      let left = 0
      for (const root of this.#allRoots) {
        for (const group of (await groupsBelow(join(root, path))).reverse()) {
          await rmdir(group).catch((error: unknown) => {
            if (!isMissing(error)) left++
          })
        }
      }
      if (left === 0) return
      if (Date.now() > deadline) {
        throw new HostError(
          'NotReady',
          `Control group ${path} still holds processes ${(await this.pids(path)).join(', ')}; end them, then stop again.`,
        )
      }
      await delay(50)
    }
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself.
  }
}

async function passOnControllers(parent: string): Promise<void> {
  const available = (await readFile(join(parent, 'cgroup.controllers'), 'utf8')).trim().split(' ').filter(Boolean)
  // One at a time: a controller that cannot be passed on must not keep back the others.
  for (const controller of available) await writeFile(join(parent, 'cgroup.subtree_control'), `+${controller}`).catch(() => undefined)
}

async function inheritCpuset(parent: string, group: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const value = await readFile(join(parent, file), 'utf8').catch(() => undefined)
    if (value !== undefined && (await readFile(join(group, file), 'utf8')).trim() === '') await writeFile(join(group, file), value.trim())
  }
}

/** A group and all below it, parents first. */
async function groupsBelow(group: string): Promise<string[]> {
  let entries: { name: string; isDirectory(): boolean }[]
  try {
    entries = await readdir(group, { withFileTypes: true })
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
  const below = await Promise.all(entries.filter((entry) => entry.isDirectory()).map((entry) => groupsBelow(join(group, entry.name))))
  return [group, ...below.flat()]
}

async function processes(group: string): Promise<number[]> {
  const text = await readFile(join(group, 'cgroup.procs'), 'utf8').catch(() => '')
  // 0 stands for a process that this PID namespace does not know.
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0)
}
