import { spawn } from 'node:child_process'
import { OciError } from '../errors.ts'
import type { Credentials } from './authorizer.ts'

const deadlineMs = 30_000
const maximumAnswerBytes = 64 * 1024
/** What every helper says when it has none (docker-credential-helpers, "Development"). */
const noneFound = /credentials not found in native keychain|no credentials server URL|no credentials username/i

/**
 * Asks `docker-credential-<name> get` for the credentials of a server, without a shell. Undefined: it has none.
 * @throws OciError `Unauthorized` when it fails or is not installed, `Timeout` after 30 s
 */
export async function askHelper(
  name: string,
  server: string,
  options: { readonly environment: Readonly<Record<string, string | undefined>>; readonly signal?: AbortSignal | undefined },
): Promise<Credentials | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name))
    throw new OciError('Unauthorized', `"${name.slice(0, 100)}" is not a name of a credential helper. Correct the docker config.`)
  const program = `docker-credential-${name}`
  const { code, text } = await run(program, server, options)
  if (code !== 0) {
    if (noneFound.test(text)) return undefined
    throw new OciError('Unauthorized', `${program} could not give the credentials for ${server} (exit code ${code}). Log in again.`)
  }
  const { Username: username, Secret: secret } = parsed(text)
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw new OciError(
      'Unauthorized',
      `${program} did not answer for ${server} with Username and Secret in JSON. Update it, or log in again.`,
    )
  if (secret === '') return undefined
  // A helper says by this name that the secret is an identity token.
  return username === '<token>' ? { username: '', password: '', identityToken: secret } : { username, password: secret }
}

function run(
  program: string,
  input: string,
  options: { readonly environment: Readonly<Record<string, string | undefined>>; readonly signal?: AbortSignal | undefined },
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const timeout = AbortSignal.timeout(deadlineMs)
    const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
    const child = spawn(program, ['get'], {
      env: { ...options.environment },
      stdio: ['pipe', 'pipe', 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    })
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.length <= maximumAnswerBytes) return
      child.kill('SIGKILL')
      reject(new OciError('Unauthorized', `${program} answered with more than ${maximumAnswerBytes} bytes.`))
    })
    // It may answer, or fail, without reading what it is asked.
    child.stdin.on('error', () => {})
    child.on('error', (cause: NodeJS.ErrnoException) => {
      if (options.signal?.aborted === true) reject(options.signal.reason)
      else if (timeout.aborted) reject(new OciError('Timeout', `${program} did not answer within ${deadlineMs} ms.`))
      else
        reject(
          new OciError('Unauthorized', `${program}, which the docker config names for ${input}, cannot be run. Install it.`, { cause }),
        )
    })
    child.on('close', (code) => resolve({ code, text }))
    child.stdin.end(input)
  })
}

function parsed(text: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === 'object' && json !== null ? { ...json } : {}
  } catch {
    return {}
  }
}
