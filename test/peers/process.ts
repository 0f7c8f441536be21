import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** Ports of loopback that were free a moment ago, each another one: for programs that do not tell which port they took. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => {
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('The system gave no port.')
    return address.port
  })
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

/** Ends a program that was started here, and waits for its end. */
export async function end(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
  if (hasEnded(child)) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

export interface AnswerOptions {
  /** For the error. */
  readonly name: string
  readonly signal?: AbortSignal
  /** How long an answer is waited for, in milliseconds: a minute. */
  readonly timeoutMs?: number
  /** What the program has said, for the error. */
  log?(): string | Promise<string>
}

/** What a program answers, as soon as it does: asking may fail or give undefined until then. Throws when it ended, or is late. */
export async function firstAnswer<T>(child: ChildProcess, ask: () => Promise<T | undefined>, options: AnswerOptions): Promise<T> {
  const { name, signal, timeoutMs = 60_000 } = options
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask().catch(() => undefined)
    if (answer !== undefined) return answer
    if (hasEnded(child) || performance.now() > deadline)
      throw new Error(`${name} ${hasEnded(child) ? 'ended instead of answering' : 'does not answer'}: ${(await options.log?.()) ?? ''}`)
    await pause(20, undefined, { signal })
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
