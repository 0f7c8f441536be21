import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { memory } from './program.ts'

const lookMs = 25

/** Runs a program to its end: how long it took, and the most memory (RSS, MiB) that it had. Throws when it failed. */
export async function timed(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<{ seconds: number; peak: number }> {
  signal.throwIfAborted()
  const started = performance.now()
  const child = spawn(program, [...args], { env, stdio: ['ignore', 'ignore', 'pipe'], signal })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4000)
  })
  const ended = once(child, 'close') as Promise<[number | null]>
  let peak = 0
  let over = false
  const looking = (async () => {
    while (!over) {
      const now = await memory(child.pid ?? 0).catch(() => undefined)
      if (now !== undefined && Number.isFinite(now.peak)) peak = Math.max(peak, now.peak)
      await pause(lookMs)
    }
  })()
  try {
    const [code] = await ended
    const seconds = (performance.now() - started) / 1000
    if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${said}`)
    return { seconds, peak }
  } finally {
    over = true
    await looking
  }
}
