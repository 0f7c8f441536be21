import { Writable } from 'node:stream'
import { exitCodeOf } from '../errors.ts'
import { program } from '../program.ts'

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command line without a process and without an instance, and gives what it printed and its exit code. */
export function runHere(...args: string[]): Promise<Ran> {
  return runWith({}, ...args)
}

/** The same, with settings in its environment. */
export async function runWith(settings: Readonly<Record<string, string>>, ...args: string[]): Promise<Ran> {
  const printed = { out: '', err: '' }
  const into = (stream: 'out' | 'err'): Writable =>
    new Writable({
      write(chunk, _encoding, done) {
        printed[stream] += String(chunk)
        done()
      },
    })
  const surroundings = {
    environment: { MUSTER_STATE: '/nonexistent/state', HOME: '/nonexistent', ...settings },
    signal: new AbortController().signal,
    stdout: into('out'),
    stderr: into('err'),
  }
  try {
    await program(surroundings).parseAsync(['node', 'muster', ...args])
    return { code: 0, ...printed }
  } catch (error) {
    return { code: exitCodeOf(error), out: printed.out, err: printed.err + (error instanceof Error ? error.message : '') }
  }
}
