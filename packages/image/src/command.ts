import { spawn } from 'node:child_process'
import { ImageError } from './errors.ts'

/** Programs of the host that builds use, with the words that say how to get them. */
const howToGet: Readonly<Record<string, string>> = {
  go: 'Install Go (on Debian: apt-get install golang; or the toolchain of the Go project, on PATH)',
  'apt-get': 'Images of Node and of Debian packages are made with apt: build on Debian or Ubuntu, or in a container of one',
  'dpkg-deb': 'Install dpkg (it is part of Debian and Ubuntu: apt-get install dpkg)',
  node: 'Run npm install in the folder of Muster: Node comes with it as a package',
  npm: 'Install npm (on Debian: apt-get install npm; it comes with Node too)',
}

export type ToolName = 'go' | 'apt-get' | 'dpkg-deb' | 'node' | 'npm'

/** Where the programs are; those not given are looked up on PATH. */
export type Tools = { readonly [name in ToolName]?: string }

export interface Command {
  readonly tool: ToolName
  readonly args: readonly string[]
  readonly cwd: string
  /** All that the program sees. */
  readonly env: Readonly<Record<string, string>>
  /** What it is for, as in "cannot <purpose>". */
  readonly purpose: string
  /** Milliseconds after which it is ended. */
  readonly deadlineMs: number
  /** Bytes of standard output kept; more is an error. */
  readonly outputLimit?: number
  /** Code of the error when the program fails. */
  readonly failure?: 'BuildFailed' | 'DownloadFailed' | 'SourceNotFound'
  readonly onLine?: (line: string) => void
  readonly signal?: AbortSignal
}

/** A program that does not end by itself when told to is killed after this. */
const graceMs = 5_000
/** How much of what a failing program said goes into the error. */
const saidLimit = 8_192

/**
 * Runs a program of the host without a shell and gives its standard output. It and all it started are ended when the signal
 * aborts or the deadline passes.
 * @throws ImageError `ToolMissing`, `BuildTimeout`, or `failure` with what the program said; the signal's reason when aborted
 */
export async function runTool(tools: Tools, command: Command): Promise<Buffer> {
  command.signal?.throwIfAborted()
  const program = tools[command.tool] ?? command.tool
  // Its own process group: compilers and downloads that it started end with it.
  const child = spawn(program, command.args, { cwd: command.cwd, env: command.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const kill = (name: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name)
    } catch {
      // already gone
    }
  }
  let ended: 'aborted' | 'late' | 'flooded' | undefined
  let killer: NodeJS.Timeout | undefined
  const end = (why: NonNullable<typeof ended>) => {
    if (ended !== undefined) return
    ended = why
    kill('SIGTERM')
    killer = setTimeout(() => kill('SIGKILL'), graceMs)
  }
  const onAbort = () => end('aborted')
  command.signal?.addEventListener('abort', onAbort, { once: true })
  const deadline = setTimeout(() => end('late'), command.deadlineMs)

  const limit = command.outputLimit ?? 1 << 20
  const output: Buffer[] = []
  let outputSize = 0
  let said = ''
  let line = ''
  child.stdout.on('data', (chunk: Buffer) => {
    outputSize += chunk.length
    if (outputSize > limit) end('flooded')
    else output.push(chunk)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-saidLimit)
    if (command.onLine === undefined) return
    const parts = (line + text).split('\n')
    line = (parts.pop() ?? '').slice(-saidLimit)
    for (const part of parts) if (part.trim() !== '') command.onLine(part.trimEnd())
  })
  const result = await new Promise<{ code: number | null; error?: NodeJS.ErrnoException }>((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }))
    child.on('close', (code) => resolve({ code }))
  })
  clearTimeout(deadline)
  clearTimeout(killer)
  command.signal?.removeEventListener('abort', onAbort)

  if (ended === 'aborted') command.signal?.throwIfAborted()
  if (result.error !== undefined) throw notStarted(command, program, result.error)
  if (ended === 'late') {
    throw new ImageError(
      'BuildTimeout',
      `${command.tool} did not ${command.purpose} within ${Math.round(command.deadlineMs / 1000)} s and was ended. It said: ${said.trim() || 'nothing'}`,
    )
  }
  if (ended === 'flooded')
    throw new ImageError(
      'BuildFailed',
      `${command.tool} wrote more than ${limit} bytes where a short answer was expected, and was ended (to ${command.purpose}).`,
    )
  if (result.code !== 0) {
    const exit = result.code === null ? 'was killed' : `ended with ${result.code}`
    throw new ImageError(
      command.failure ?? 'BuildFailed',
      `${command.tool} could not ${command.purpose} (it ${exit}):\n${said.trim() || '(it said nothing)'}`,
    )
  }
  return Buffer.concat(output)
}

function notStarted(command: Command, program: string, error: NodeJS.ErrnoException): ImageError {
  if (error.code === 'ENOENT') {
    return new ImageError(
      'ToolMissing',
      `${command.tool} is needed to ${command.purpose}, and ${program} is not there. ${howToGet[command.tool] ?? ''}.`,
      { cause: error },
    )
  }
  return new ImageError(
    'ToolMissing',
    `${command.tool} is needed to ${command.purpose}, and ${program} cannot be started: ${error.message}.`,
    { cause: error },
  )
}

/** The variables that let a program find its files, its certificates and the way out; nothing else of the caller's environment. */
const passedOn =
  /^(PATH|HOME|TMPDIR|LANG|XDG_CACHE_HOME|XDG_CONFIG_HOME|SSL_CERT_FILE|SSL_CERT_DIR|NODE_EXTRA_CA_CERTS|CURL_CA_BUNDLE|GIT_SSL_CAINFO|[Hh][Tt][Tt][Pp][Ss]?_[Pp][Rr][Oo][Xx][Yy]|[Nn][Oo]_[Pp][Rr][Oo][Xx][Yy])$/

/** The controlled environment of host programs: what is passed on, plus variables that `more` matches, plus `fixed`. */
export function toolEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  fixed: Readonly<Record<string, string>>,
  more?: RegExp,
): Record<string, string> {
  const result: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && (passedOn.test(name) || more?.test(name))) result[name] = value
  }
  return { ...result, LC_ALL: 'C', ...fixed }
}
