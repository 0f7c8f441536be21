import { constants } from 'node:fs'
import { access, mkdir, mkdtemp, readdir, readFile, rm, rmdir, stat, statfs } from 'node:fs/promises'
import { arch, platform, release } from 'node:os'
import { dirname, join } from 'node:path'
import { BuildError } from './build-error.ts'
import { goVersion } from './go-build.ts'
import { type HostFacts, type KernelFeature, neededCommands, type PackageManager } from './requirements.ts'
import { type Environment, runTool, withSystemPath } from './run-tool.ts'

const probeTimeoutMs = 20_000
const managers: readonly (readonly [PackageManager, string])[] = [
  ['apt', 'apt-get'],
  ['dnf', 'dnf'],
  ['zypper', 'zypper'],
  ['apk', 'apk'],
]

/**
 * Looks at this machine. Kernel features are tried, in namespaces of their own that end with the trial, so that a module
 * that the kernel loads when it is used counts and one that is only listed does not.
 */
export async function gatherFacts(o: {
  repoDir: string
  cacheDir: string
  stateDir: string
  env: Environment
  signal: AbortSignal
}): Promise<HostFacts> {
  const { signal } = o
  const env = withSystemPath(o.env)
  const commands: Record<string, string> = {}
  for (const command of [...neededCommands.map((each) => each.command), ...managers.map(([, command]) => command)]) {
    const path = await findCommand(command, env)
    if (path !== undefined) commands[command] = path
  }
  const uid = process.geteuid?.() ?? -1
  const packageManager = managers.find(([, command]) => commands[command] !== undefined)?.[0]
  const disks = await Promise.all([freeBytes(o.cacheDir), freeBytes(o.stateDir)])
  const cgroupVersion = await findCgroupVersion()
  return {
    platform: platform(),
    arch: arch(),
    kernel: release(),
    uid,
    commands,
    go: await goFact(join(o.repoDir, 'distro', 'kubernetes'), env, signal),
    kernelFeatures:
      uid === 0 && platform() === 'linux'
        ? await tryKernel({ commands, cgroupVersion, env, signal, base: await nearestFolder(o.stateDir) })
        : {},
    cgroupVersion,
    diskFree: Math.min(...disks),
    memoryAvailable: await availableMemory(),
    debianKeyring: await exists('/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'),
    built: (await readdir(join(o.cacheDir, 'distro')).catch(() => [])).some((name) => name.startsWith('bin-')),
    packageManager,
  }
}

/** The path that a command would be run from. */
async function findCommand(command: string, env: Environment): Promise<string | undefined> {
  for (const dir of (env['PATH'] ?? '').split(':').filter(Boolean)) {
    const path = join(dir, command)
    const found = await stat(path).catch(() => undefined)
    if (found?.isFile() && (await executable(path))) return path
  }
  return undefined
}

async function goFact(dir: string, env: Environment, signal: AbortSignal): Promise<HostFacts['go']> {
  try {
    return { version: await goVersion(dir, env, signal) }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof BuildError && error.code === 'ToolMissing') return { problem: 'not found' }
    return { problem: (error as Error).message }
  }
}

type Trial = (work: string) => Promise<unknown>

async function tryKernel(o: {
  commands: HostFacts['commands']
  cgroupVersion: HostFacts['cgroupVersion']
  env: Environment
  signal: AbortSignal
  /** On the file system where the state will be: an overlay does not work on every one. */
  base: string
}): Promise<HostFacts['kernelFeatures']> {
  const { commands, cgroupVersion, env, signal } = o
  const run = (args: readonly string[], input?: string): Promise<string> =>
    runTool({ command: 'unshare', args, env, signal, timeoutMs: probeTimeoutMs, ...(input !== undefined && { input }) })
  const inMounts = ['--mount', '--propagation', 'private']
  const trials: Record<KernelFeature, { needs: string[]; trial: Trial }> = {
    namespaces: { needs: ['unshare'], trial: () => run(['--mount', '--net', '--pid', '--fork', 'true']) },
    overlayfs: {
      needs: ['unshare', 'mount'],
      trial: async (work) => {
        const dirs = ['lower', 'upper', 'work', 'merged'].map((name) => join(work, name))
        for (const dir of dirs) await mkdir(dir)
        const [lower, upper, workdir, merged = ''] = dirs
        await run([
          ...inMounts,
          'mount',
          '-t',
          'overlay',
          '-o',
          `lowerdir=${lower},upperdir=${upper},workdir=${workdir}`,
          'overlay',
          merged,
        ])
      },
    },
    erofs: {
      needs: ['unshare', 'mount', 'mkfs.erofs'],
      trial: async (work) => {
        const [source, image, target] = ['tree', 'image', 'mounted'].map((name) => join(work, name)) as [string, string, string]
        await mkdir(source)
        await mkdir(target)
        await runTool({ command: 'mkfs.erofs', args: ['-zlz4', image, source], env, signal, timeoutMs: probeTimeoutMs })
        await run([...inMounts, 'mount', '-t', 'erofs', '-o', 'ro', image, target])
      },
    },
    nf_tables: {
      needs: ['unshare', 'nft'],
      trial: () =>
        run(
          ['--net', 'nft', '-f', '-'],
          'table ip muster_probe {\n chain post { type nat hook postrouting priority 100; ip saddr 192.0.2.0/24 masquerade; }\n}\n',
        ),
    },
    veth: {
      needs: ['unshare', 'ip'],
      trial: () => run(['--net', 'ip', 'link', 'add', 'probe0', 'type', 'veth', 'peer', 'name', 'probe1']),
    },
    bridge: { needs: ['unshare', 'ip'], trial: () => run(['--net', 'ip', 'link', 'add', 'probe0', 'type', 'bridge']) },
    cgroups: { needs: [], trial: () => tryCgroups(cgroupVersion) },
  }
  const found: Partial<Record<KernelFeature, true | string>> = {}
  for (const [feature, { needs, trial }] of Object.entries(trials) as [KernelFeature, { needs: string[]; trial: Trial }][]) {
    if (needs.some((command) => commands[command] === undefined)) continue
    let work: string | undefined
    try {
      work = await mkdtemp(join(o.base, 'muster-probe-'))
      await trial(work)
      found[feature] = true
    } catch (error) {
      signal.throwIfAborted()
      found[feature] = (error as Error).message.split('\n').at(-1) ?? 'failed'
    } finally {
      if (work !== undefined) await rm(work, { recursive: true, force: true })
    }
  }
  return found
}

async function findCgroupVersion(): Promise<HostFacts['cgroupVersion']> {
  if (await exists('/sys/fs/cgroup/cgroup.controllers')) return 'v2'
  return (await exists('/sys/fs/cgroup/cpu')) ? 'v1' : undefined
}

/** Makes and removes a group. @throws Error with what is missing */
async function tryCgroups(version: HostFacts['cgroupVersion']): Promise<void> {
  if (version === undefined) throw new Error('no control groups under /sys/fs/cgroup')
  const root = '/sys/fs/cgroup'
  if (version === 'v2') {
    const controllers = (await readFile(join(root, 'cgroup.controllers'), 'utf8')).split(/\s+/)
    const missing = ['cpu', 'cpuset', 'memory', 'pids'].filter((name) => !controllers.includes(name))
    if (missing.length > 0) throw new Error(`controllers missing: ${missing.join(', ')}`)
  }
  for (const hierarchy of version === 'v2' ? ['.'] : ['cpu', 'cpuset', 'memory', 'pids']) {
    const group = join(root, hierarchy, `muster-probe-${process.pid}`)
    await mkdir(group)
    await rmdir(group)
  }
}

async function freeBytes(path: string): Promise<number> {
  const found = await statfs(await nearestFolder(path))
  return found.bavail * found.bsize
}

/** The folder itself or, where it is not there yet, the nearest one above that is. */
async function nearestFolder(path: string): Promise<string> {
  for (let at = path; at !== dirname(at); at = dirname(at)) if (await exists(at)) return at
  return '/'
}

async function availableMemory(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '')
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}

async function exists(...paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if ((await stat(path).catch(() => undefined)) !== undefined) return true
  return false
}

async function executable(path: string): Promise<boolean> {
  return await access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
