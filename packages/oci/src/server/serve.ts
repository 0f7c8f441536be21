import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { isIPv6 } from 'node:net'
import { resolve } from 'node:path'
import { ensureDirectory, errno, storageError } from '../disk.ts'
import { OciError } from '../errors.ts'
import { type Assembled, assemble } from './assemble.ts'
import type { Collected } from './collector.ts'
import { lockDirectory } from './directory-lock.ts'
import type { RegistryServerOptions } from './options.ts'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { createServer: createHttpServer } = process.getBuiltinModule('node:http')

export interface RegistryServer {
  readonly url: string
  readonly port: number
  /** Removes now what nothing names; safe beside any traffic. @throws OciError `Storage` */
  collectGarbage(options?: { signal?: AbortSignal }): Promise<Collected>
  /** Takes no new request, lets running ones finish within the grace, then cuts them off. */
  close(): Promise<void>
}

/** The longest silence on a connection that is sending or receiving. */
const silenceMs = 60_000
const expiryCheckMs = 5 * 60 * 1000
const hourMs = 60 * 60 * 1000
const mirrorCheckMs = 10_000
/** The longest wait that a timer takes. */
const maximumIntervalMs = 2 ** 31 - 1
const maximumConnections = 2048

/**
 * Serves an OCI registry (distribution-spec 1.1): pull, push in one or in chunks with resume, mounts, tags, referrers, deletion.
 * @throws OciError `Storage` when the directory cannot be used, `Unreachable` when the address cannot be listened on
 */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  options.signal?.throwIfAborted()
  const root = resolve(options.root)
  await ensureRoot(root)
  const lock = await lockDirectory(root)
  try {
    return await serveLocked(root, options, lock)
  } catch (error) {
    await lock.close()
    throw error
  }
}

async function serveLocked(root: string, options: RegistryServerOptions, lock: { close(): Promise<void> }): Promise<RegistryServer> {
  const parts = await assemble(root, options)
  const { handler, collectGarbage } = parts
  try {
    const server = createServer(options.tls, handler.handle)
    server.maxConnections = maximumConnections
    // A large push takes as long as it takes: silence is what ends a request, not its length.
    server.requestTimeout = 0
    server.timeout = silenceMs
    const port = await listen(server, options.listen)
    const host = isIPv6(options.listen.host) ? `[${options.listen.host}]` : options.listen.host
    handler.ownHosts.push(`${host}:${port}`)
    const upkeep = startUpkeep(parts, options)
    const shut = async (): Promise<void> => {
      for (const timer of upkeep) clearInterval(timer)
      handler.closing = true
      parts.stop()
      await closeGracefully(server, options.graceMs ?? 10_000)
      await parts.close()
      await lock.close()
    }
    let closing: Promise<void> | undefined
    const close = (): Promise<void> => {
      closing ??= shut()
      return closing
    }
    const onAbort = (): void => {
      close().catch((error: unknown) => options.logger?.error({ error: String(error) }, 'the registry did not close cleanly'))
    }
    options.signal?.addEventListener('abort', onAbort, { once: true })
    server.once('close', () => options.signal?.removeEventListener('abort', onAbort))
    return { url: `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}`, port, collectGarbage, close }
  } catch (error) {
    await parts.close()
    throw error
  }
}

function startUpkeep(
  { uploads, pushQuota, mirrors, collectGarbage, closed }: Assembled,
  options: RegistryServerOptions,
): (NodeJS.Timeout | undefined)[] {
  return [
    every(expiryCheckMs, async () => {
      await uploads.expire().catch((error: unknown) => options.logger?.error({ error: String(error) }, 'uploads could not be expired'))
      pushQuota.sweep()
    }),
    every(options.garbage?.intervalMs ?? hourMs, async () => {
      try {
        const collected = await collectGarbage()
        options.logger?.info(collected, 'garbage collected')
      } catch (error) {
        if (!closed.aborted) options.logger?.error({ error: String(error) }, 'garbage could not be collected')
      }
    }),
    every(mirrorCheckMs, async () => mirrors.startDue()),
  ]
}

async function ensureRoot(root: string): Promise<void> {
  try {
    await ensureDirectory(root)
  } catch (error) {
    throw storageError(error, root)
  }
}

/** Work that lasts longer than the interval is not begun a second time. */
function every(intervalMs: number, work: () => Promise<void>): NodeJS.Timeout | undefined {
  if (intervalMs <= 0) return undefined
  let busy = false
  const turn = async (): Promise<void> => {
    if (busy) return
    busy = true
    await work()
    busy = false
  }
  return setInterval(() => void turn(), Math.min(intervalMs, maximumIntervalMs)).unref()
}

function createServer(tls: RegistryServerOptions['tls'], handle: (request: IncomingMessage, response: ServerResponse) => void): Server {
  const keepAlive = { keepAliveTimeout: 75_000, headersTimeout: 30_000 }
  if (tls === undefined) return createHttpServer(keepAlive, handle)
  return createHttpsServer({ ...keepAlive, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' }, handle)
}

function listen(server: Server, address: { host: string; port: number }): Promise<number> {
  return new Promise((done, failed) => {
    server.once('error', (cause) => {
      failed(
        new OciError(
          'Unreachable',
          `The registry cannot listen on ${address.host}:${address.port} (${errno(cause)}). Free the port or choose another.`,
          { cause },
        ),
      )
    })
    server.listen(address.port, address.host, () => {
      const bound = server.address()
      done(typeof bound === 'object' && bound !== null ? bound.port : address.port)
    })
  })
}

function closeGracefully(server: Server, graceMs: number): Promise<void> {
  return new Promise((done) => {
    const cut = setTimeout(() => server.closeAllConnections(), graceMs)
    // A connection becomes idle when its request ends; nothing tells when.
    const idle = setInterval(() => server.closeIdleConnections(), 20)
    server.close(() => {
      clearTimeout(cut)
      clearInterval(idle)
      done()
    })
  })
}
