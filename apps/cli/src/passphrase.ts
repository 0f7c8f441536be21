import { closeSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { ReadStream } from 'node:tty'
import { readSecretFile } from '@muster/trust'
import type { Context } from './context.ts'
import { Failure, Interrupted } from './errors.ts'

/** Never an argument: every process of the machine can read those. */
const variables = ['MUSTER_KEY_PASSWORD', 'COSIGN_PASSWORD'] as const

/** A passphrase that was given beforehand, by file or environment. */
export async function givenPassphrase(context: Context, file: string | undefined): Promise<string | undefined> {
  if (file !== undefined) return readSecretFile(file)
  return variables.map((name) => context.environment[name]).find((value) => value !== undefined)
}

/**
 * The passphrase of what exists: given beforehand, or asked for on the terminal.
 * @param of whose, for the question
 * @throws Failure where there is neither
 */
export async function passphraseOf(context: Context, of: string, file: string | undefined): Promise<string> {
  const given = (await givenPassphrase(context, file)) ?? (await ask(context, `Passphrase of ${of}: `))
  if (given !== undefined) return given
  throw new Failure(`${of} needs a passphrase. Set ${variables[0]}, or give --passphrase-file, or run this in a terminal.`)
}

/** The passphrase of what is made; undefined for none. On a terminal it is asked for twice. @throws Failure where the two differ */
export async function newPassphrase(context: Context, of: string, file: string | undefined): Promise<string | undefined> {
  const given = await givenPassphrase(context, file)
  if (given !== undefined) return given
  const first = await ask(context, `Passphrase for ${of} (empty for none): `)
  if (first === undefined || first === '') return undefined
  if ((await ask(context, 'The same again: ')) !== first) throw new Failure('The two passphrases differ. Run the command again.')
  return first
}

const longest = 1024

/** Asks on the terminal of the process, without showing what is typed; undefined where it has none. */
export async function ask(context: Context, question: string): Promise<string | undefined> {
  context.signal.throwIfAborted()
  let fd: number
  try {
    fd = openSync('/dev/tty', 'r')
  } catch {
    return undefined
  }
  const terminal = await open('/dev/tty', 'w')
  const input = new ReadStream(fd)
  try {
    await terminal.write(question)
    input.setRawMode(true)
    return await typed(input, context.signal)
  } finally {
    input.setRawMode(false)
    input.destroy()
    await terminal.write('\n')
    await terminal.close()
    closeQuietly(fd)
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // The stream has closed it.
  }
}

/** In raw mode the keys that end, stop and erase are ours to see to. */
function typed(input: ReadStream, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const stop = (): void => reject(signal.reason as Error)
    const finish = (): void => {
      signal.removeEventListener('abort', stop)
      resolve(text)
    }
    signal.addEventListener('abort', stop, { once: true })
    input.setEncoding('utf8')
    input.once('error', reject)
    input.once('end', finish)
    input.on('data', (chunk: string) => {
      for (const key of chunk) {
        if (key === '\r' || key === '\n' || key === '\x04') return finish()
        if (key === '\x03') return reject(new Interrupted('SIGINT'))
        if (key === '\x7f' || key === '\b') text = [...text].slice(0, -1).join('')
        else if (text.length < longest) text += key
      }
    })
  })
}
