import { spawn } from 'node:child_process'
import { BuildError } from './build-error.ts'

/** Environment variables as a process is given them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The same with the system's folders on the path: administrators' commands are there, and a user's path may lack them. */
export function withSystemPath(env: Environment): Environment {
  const dirs = (env['PATH'] ?? '').split(':').filter(Boolean)
  const system = ['/usr/local/sbin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'].filter((dir) => !dirs.includes(dir))
  return { ...env, PATH: [...dirs, ...system].join(':') }
}

export interface ToolRun {
  readonly command: string
  readonly args: readonly string[]
  readonly env: Environment
  readonly signal: AbortSignal
  /** Deadline in milliseconds; the whole process group is ended then. */
  readonly timeoutMs: number
  readonly cwd?: string
  /** Written to the tool's standard input, which is then closed. */
  readonly input?: string
  /** Called for each line of either stream, as it comes. */
  readonly onLine?: (line: string) => void
  /** Most characters of standard output that are kept; 16 Mi unless told. */
  readonly outputLimit?: number
}

const killGraceMs = 10_000
const lineLimit = 64 * 1024
const keptLines = 15

/**
 * Runs a program without a shell and returns its standard output.
 *
 * @throws BuildError ToolMissing, ToolFailed (with the last lines it said), Timeout, Aborted, OutputTooLarge
 */
export async function runTool(run: ToolRun): Promise<string> {
  const { command, args, signal } = run
  if (signal.aborted) throw new BuildError('Aborted', `${command} was not started: the work was cancelled.`, { cause: signal.reason })
  const deadline = AbortSignal.timeout(run.timeoutMs)
  const limit = run.outputLimit ?? 16 * 1024 * 1024
  const tail: string[] = []
  let output = ''
  let overflow = false
  const says = (line: string): void => {
    if (line === '') return
    tail.push(line)
    if (tail.length > keptLines) tail.shift()
    run.onLine?.(line)
  }

  // A process group of its own: go, apt and mmdebstrap have children, which must end with them.
  const child = spawn(command, args, { cwd: run.cwd, env: { ...run.env }, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  const killGroup = (name: NodeJS.Signals): void => {
    if (child.pid === undefined) return
    try {
      process.kill(-child.pid, name)
    } catch {
      // Already gone.
    }
  }
  let killTimer: NodeJS.Timeout | undefined
  const end = (): void => {
    killGroup('SIGTERM')
    killTimer ??= setTimeout(() => killGroup('SIGKILL'), killGraceMs)
  }
  signal.addEventListener('abort', end, { once: true })
  deadline.addEventListener('abort', end, { once: true })

  const errorLines = lineSplitter(says)
  const outputLines = lineSplitter(says)
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output.length + text.length > limit) {
      overflow = true
      end()
    } else {
      output += text
      outputLines.push(text)
    }
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => errorLines.push(text))
  child.stdin.on('error', () => undefined) // A tool that does not read its input closes it.
  child.stdin.end(run.input ?? '')

  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === 'ENOENT'
            ? new BuildError('ToolMissing', `${command} was not found on this machine: install it, then try again.`, { cause })
            : new BuildError('ToolFailed', `${command} could not be started: ${cause.message}`, { cause }),
        ),
      )
      child.on('close', resolve)
    })
    errorLines.flush()
    outputLines.flush()
    if (signal.aborted) throw new BuildError('Aborted', `${command} was ended: the work was cancelled.`, { cause: signal.reason })
    if (overflow) throw new BuildError('OutputTooLarge', `${command} wrote more than ${limit} characters, which no right run of it does.`)
    if (deadline.aborted) {
      throw new BuildError('Timeout', `${command} did not finish within ${Math.round(run.timeoutMs / 60_000)} minutes and was ended.`, {
        transient: true,
      })
    }
    if (code !== 0) {
      throw new BuildError(
        'ToolFailed',
        `${[command, ...args.slice(0, 2)].join(' ')} failed (exit ${code ?? 'by signal'}):\n${tail.join('\n')}`,
      )
    }
    return output
  } finally {
    signal.removeEventListener('abort', end)
    if (killTimer !== undefined) clearTimeout(killTimer)
  }
}

/** Cuts a stream of text into lines; a carriage return ends one as well, as in progress displays. Lines are cut at a bound. */
export function lineSplitter(onLine: (line: string) => void): { push(text: string): void; flush(): void } {
  let rest = ''
  return {
    push(text) {
      const parts = (rest + text).split(/\r\n|\n|\r/)
      rest = (parts.pop() ?? '').slice(0, lineLimit)
      for (const part of parts) onLine(part.slice(0, lineLimit))
    },
    flush() {
      if (rest !== '') onLine(rest)
      rest = ''
    },
  }
}
