import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface CommandOptions {
  readonly cwd?: string
  /** The whole environment of the command. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Milliseconds until it is killed. */
  readonly timeoutMs: number
  /** The most bytes to take from its standard output. */
  readonly maximumOutput: number
  /** The most memory (resident, in bytes) that it may take; watched where the system has /proc. */
  readonly maximumMemory?: number
  readonly signal?: AbortSignal | undefined
}

/** How a command failed; the caller makes its own error of it. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly reason: 'NotStarted' | 'Failed' | 'Timeout' | 'TooMuchOutput' | 'TooMuchMemory'

  constructor(reason: CommandFailure['reason'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

const maximumErrorOutput = 16 * 1024

/**
 * Runs a command without a shell, in a process group of its own that is killed as a whole at the deadline, on abort, or when it
 * writes too much. Returns its standard output as UTF-8.
 * @throws CommandFailure, or the signal's reason
 */
export async function runCommand(command: readonly string[], options: CommandOptions): Promise<string> {
  const [program, ...parameters] = command
  if (program === undefined) throw new CommandFailure('NotStarted', 'no command was given')
  options.signal?.throwIfAborted()
  return new Promise((resolve, reject) => {
    const child = spawn(program, parameters, {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      shell: false,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...options.env },
    })
    let failure: unknown
    const stop = (error: unknown) => {
      failure ??= error
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It is gone already.
      }
    }
    const onAbort = () => stop(options.signal?.reason)
    options.signal?.addEventListener('abort', onAbort, { once: true })
    const timer = setTimeout(() => stop(new CommandFailure('Timeout', `took longer than ${options.timeoutMs / 1000} s`)), options.timeoutMs)
    const watch =
      options.maximumMemory === undefined ? undefined : watchMemory(child.pid, options.maximumMemory, (failure) => stop(failure))
    const output: Buffer[] = []
    let size = 0
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > options.maximumOutput) stop(new CommandFailure('TooMuchOutput', `wrote more than ${options.maximumOutput} bytes`))
      else output.push(chunk)
    })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('utf8')).slice(-maximumErrorOutput)
    })
    const finish = (end: () => void) => {
      clearTimeout(timer)
      clearInterval(watch)
      options.signal?.removeEventListener('abort', onAbort)
      end()
    }
    child.on('error', (cause) => finish(() => reject(new CommandFailure('NotStarted', cause.message, cause))))
    child.on('close', (code, killedBy) =>
      finish(() => {
        if (failure !== undefined) reject(failure)
        else if (code === 0) resolve(Buffer.concat(output).toString('utf8'))
        else reject(new CommandFailure('Failed', said.trim() || `ended with ${killedBy ?? `code ${code}`}`))
      }),
    )
  })
}

const pageBytes = 4096
const watchEveryMs = 20

/** Ends a command that takes more than it may. A limit of the kernel's would count what Go reserves and never uses. */
function watchMemory(pid: number | undefined, bound: number, stop: (failure: CommandFailure) => void): NodeJS.Timeout | undefined {
  if (pid === undefined) return undefined
  return setInterval(() => {
    try {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
      if (pages * pageBytes > bound) stop(new CommandFailure('TooMuchMemory', `took more than ${bound} bytes of memory`))
    } catch {
      // It is gone, or this system has no /proc.
    }
  }, watchEveryMs)
}
