import { spawn } from 'node:child_process'
import { TrustError } from '../errors.ts'

export type ToolEnvironment = Readonly<Record<string, string | undefined>>

export interface ToolCall {
  readonly env: ToolEnvironment
  readonly input?: Uint8Array
  readonly signal?: AbortSignal | undefined
}

const tool = 'pkcs11-tool'

/** A token may wait for a finger or a pad. */
const deadlineMs = 120_000

/** What the tool prints is a signature, a key or a list of objects. */
const maxOutputBytes = 1024 * 1024

/**
 * Runs OpenSC's `pkcs11-tool`, without a shell, with a deadline, its output bounded.
 * @returns what it wrote to standard output
 * @throws TrustError `KeyProvider`, with what it complained of
 */
export async function runTool(args: readonly string[], { env, input, signal }: ToolCall): Promise<Buffer> {
  const deadline = AbortSignal.timeout(deadlineMs)
  const child = spawn(tool, args, {
    env: { ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  let bytes = 0
  const gather = (chunks: Buffer[]) => (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes <= maxOutputBytes) chunks.push(chunk)
    else child.kill('SIGKILL')
  }
  child.stdout.on('data', gather(stdout))
  child.stderr.on('data', gather(stderr))
  // A tool that ended early says why itself.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    if (code === 0 && bytes <= maxOutputBytes) return Buffer.concat(stdout)
  } catch (cause) {
    signal?.throwIfAborted()
    if (deadline.aborted) throw new TrustError('KeyProvider', `The token did not answer within ${deadlineMs / 1000} seconds.`, cause)
    throw new TrustError(
      'KeyProvider',
      `The program ${tool} cannot be run. Install it (Debian's package opensc), or put its folder on PATH.`,
      cause,
    )
  }
  throw new TrustError('KeyProvider', `The token refused: ${complaint(Buffer.concat(stderr).toString('utf8'))}`)
}

/** The tool's own words, on one line. */
function complaint(stderr: string): string {
  const said = stderr
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && line !== 'Aborting.' && !line.startsWith('Using s'))
    .join(' ')
    .replaceAll(/[^\x20-\x7e]/g, '?')
    .slice(0, 500)
  const pin = /CKR_PIN_(INCORRECT|INVALID|LEN_RANGE)/.test(said) ? ' Check the PIN: a token locks after some wrong ones.' : ''
  return `${said === '' ? `${tool} failed and did not say why.` : said}${pin}`
}
