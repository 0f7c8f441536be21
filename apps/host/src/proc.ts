import { readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'

/** What tells one process from a later one with the same pid: when it started, in clock ticks since boot, and which boot. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTime: string
  readonly bootId: string
}

let bootIdOnce: Promise<string> | undefined

/** The id of this boot of the machine (constant while the host runs). */
async function bootId(): Promise<string> {
  bootIdOnce ??= readFile('/proc/sys/kernel/random/boot_id', 'utf8').then((text) => text.trim())
  return await bootIdOnce
}

/** Field 22 of /proc/PID/stat; undefined when the process is gone or a zombie. */
export function startTimeOf(stat: string): string | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

/** Who a pid is now; undefined when nobody is. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  const startTime = stat === undefined ? undefined : startTimeOf(stat)
  return startTime === undefined ? undefined : { pid, startTime, bootId: await bootId() }
}

/** True while that very process lives. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const now = await identify(identity.pid)
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId
}

export async function commandLine(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return text.split('\0').slice(0, -1)
}

/** The name of the file that a process runs. */
export async function executableOf(pid: number): Promise<string | undefined> {
  return await readlink(`/proc/${pid}/exe`)
    .then((path) => basename(path.replace(/ \(deleted\)$/, '')))
    .catch(() => undefined)
}

/** Field 4 of /proc/PID/stat. */
function parentOf(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** The children of a process, of those given (many kernels have no /proc/PID/task/PID/children). */
export async function childrenOf(pid: number, among: readonly number[]): Promise<number[]> {
  const children: number[] = []
  for (const candidate of among) {
    const stat = await readFile(`/proc/${candidate}/stat`, 'utf8').catch(() => undefined)
    if (stat !== undefined && parentOf(stat) === pid) children.push(candidate)
  }
  return children
}

/** Resident memory of a process in bytes; 0 when it is gone. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}

/** Sends a signal; false when the process is gone. */
export function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}
