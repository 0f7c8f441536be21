import { spawn } from 'node:child_process'
import { BuildError } from './build-error.ts'
import type { Environment } from './run-tool.ts'

export interface FileLock {
  release(): Promise<void>
}

/**
 * Takes an exclusive lock on a file, which the kernel gives up when this process ends, however it ends. Node has no call for
 * flock(2), so `flock` holds it and runs `cat`: what cat echoes says that the lock is held, and the end of its input, which
 * also comes with our death, gives it up.
 *
 * @param onWait called once when somebody else holds the lock
 * @throws BuildError ToolMissing, ToolFailed, Aborted
 */
export async function lockFile(path: string, o: { env: Environment; signal: AbortSignal; onWait?: () => void }): Promise<FileLock> {
  const { env, signal } = o
  const child = spawn('flock', ['-x', path, 'cat'], { env: { ...env }, stdio: ['pipe', 'pipe', 'ignore'] })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.stdin.on('error', () => undefined)
  const waiting = o.onWait && setTimeout(o.onWait, 500)
  const giveUp = (): void => {
    child.stdin.end()
    child.kill()
  }
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    await new Promise<void>((resolve, reject) => {
      const ended = (): void =>
        reject(
          signal.aborted
            ? new BuildError('Aborted', `Waiting for the lock on ${path} was cancelled.`, { cause: signal.reason })
            : new BuildError('ToolFailed', `flock could not lock ${path}: is the folder there, and writable?`),
        )
      child.once('error', (cause) =>
        reject(new BuildError('ToolMissing', 'flock was not found: install util-linux, then try again.', { cause })),
      )
      child.once('close', ended)
      child.stdout.once('data', () => resolve())
      if (signal.aborted) giveUp()
      else child.stdin.write('.')
    })
  } finally {
    signal.removeEventListener('abort', giveUp)
    clearTimeout(waiting)
  }
  return {
    async release() {
      child.stdin.end()
      await closed
    },
  }
}
