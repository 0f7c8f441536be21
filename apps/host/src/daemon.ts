import type { Logger } from 'pino'
import { messageOf } from './errors.ts'
import { remove, writeAtomic } from './files.ts'
import { Host } from './host.ts'
import { paths } from './instance.ts'
import { lockInstance } from './lock.ts'
import { identify } from './proc.ts'
import { serveHost } from './server.ts'
import { ensureInstance } from './state.ts'

const rotateEveryMs = 60_000

/**
 * Runs the daemon of an instance until it is stopped: by `POST /v1/stop` (nothing is left, nothing resumed) or by the signal
 * (nothing is left, what ran is resumed by the next daemon).
 * @throws HostError `Locked` when the instance has a daemon
 */
export async function runDaemon(options: {
  readonly id: string
  readonly state: string
  readonly signal: AbortSignal
  readonly logger: Logger
}): Promise<void> {
  const { id, state, logger, signal } = options
  const lock = await lockInstance(id)
  const log = (message: string) => logger.info(message)
  const host = new Host({ instance: await ensureInstance(id, state), log, now: () => new Date() })
  const stopped = Promise.withResolvers<void>()
  const server = await serveHost(host, paths(state).socket, stopped.resolve)
  await writeAtomic(paths(state).daemon, JSON.stringify({ ...(await identify(process.pid)), startedAt: new Date().toISOString() }))
  log(`host of instance ${id} listens`)
  const rotation = setInterval(() => {
    host.rotateLogs().catch((error: unknown) => logger.warn(`logs were not rotated: ${messageOf(error)}`))
  }, rotateEveryMs)
  host.resume().catch((error: unknown) => logger.error(`not everything could be resumed: ${messageOf(error)}`))
  signal.addEventListener('abort', () => {
    host.stop({ forget: false }).then(stopped.resolve, stopped.reject)
  })
  try {
    await stopped.promise
  } finally {
    clearInterval(rotation)
    await server.close()
    await remove(paths(state).daemon)
    await lock.release()
    log(`host of instance ${id} ended`)
  }
}
