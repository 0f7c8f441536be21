import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly signal?: AbortSignal
  /** Out of reach of Ctrl-C. */
  readonly detached?: boolean
}

/**
 * Runs a program to its end; gives what it printed. Throws when it failed, with what it said. A signal asks it to end, and its end is
 * waited for: what it was doing must not go on beside the tidying up.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<{ stdout: string; stderr: string }> {
  const { signal, ...spawning } = options
  signal?.throwIfAborted()
  const child = spawn(command, [...args], { ...spawning, stdio: ['ignore', 'pipe', 'pipe'] })
  const stop = (): void => void child.kill('SIGTERM')
  signal?.addEventListener('abort', stop, { once: true })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close').finally(() => signal?.removeEventListener('abort', stop))) as [number | null]
  signal?.throwIfAborted()
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`)
  return { stdout, stderr }
}

/** The first line that a program prints: what it has to say when it is ready. */
export async function firstLine(child: ChildProcess, signal: AbortSignal): Promise<string> {
  if (child.stdout === null) throw new Error('The program was started without a pipe for what it prints.')
  const lines = createInterface({ input: child.stdout, signal })
  for await (const line of lines) return line
  throw new Error(`${child.spawnargs.join(' ')} ended without a word.`)
}

/** Ends a program that was started here, and waits for its end. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await ended
  clearTimeout(late)
}

/** Memory of a process in MiB: now, and the most that it ever was. Source: proc(5), VmRSS and VmHWM. */
export async function memory(pid: number): Promise<{ now: number; peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
  return { now: kib('VmRSS') / 1024, peak: kib('VmHWM') / 1024 }
}

/** Linux counts CPU time in hundredths of a second for user space, whatever the kernel's own tick is (USER_HZ). */
const ticksPerSecond = 100

/** CPU time that a process has used, in seconds. Source: proc(5), utime and stime of /proc/PID/stat. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
