import { execFile } from 'node:child_process'
import { HostError } from './errors.ts'

interface RunOptions {
  readonly input?: string
  readonly signal?: AbortSignal | undefined
  /** Milliseconds until the command is killed; 30,000 unless said. */
  readonly timeoutMs?: number
  readonly env?: NodeJS.ProcessEnv
}

const outputLimit = 16 * 1024 * 1024

/**
 * Runs a program with an argument array (no shell) and returns its standard output.
 * @throws HostError `CommandFailed` with the program's own words
 */
export async function run(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return await new Promise((resolve, reject) => {
    const child = execFile(
      file,
      [...args],
      {
        timeout: options.timeoutMs ?? 30_000,
        maxBuffer: outputLimit,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(options.env === undefined ? {} : { env: options.env }),
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout)
        const said = (stderr.trim() || error.message).slice(0, 2000)
        reject(new HostError('CommandFailed', `\`${file} ${args.slice(0, 6).join(' ')}\` failed: ${said}`, error))
      },
    )
    // The program may end before it read its input; that it failed is told by its exit status.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(options.input ?? '')
  })
}

/** Runs a program whose failure means "no": true when it succeeded. */
export async function succeeds(file: string, args: readonly string[]): Promise<boolean> {
  try {
    await run(file, args)
    return true
  } catch {
    return false
  }
}
