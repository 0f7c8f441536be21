import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { isIPv6 } from 'node:net'
import { join, resolve } from 'node:path'
import { ensureDirectory, errno, isDiskFull, storageError } from '../disk.ts'
import { OciError } from '../errors.ts'
import { serveBlob, serveUpload, serveUploads } from './blob-routes.ts'
import { type Collected, Collector } from './collector.ts'
import { lockDirectory } from './directory-lock.ts'
import { LoginGuard } from './login-guard.ts'
import { serveCatalog, serveManifest, serveReferrers, serveTags } from './manifest-routes.ts'
import { mirrored } from './mirror.ts'
import { Refusal } from './refusal.ts'
import { parseRoute, type Route } from './route.ts'
import { Store } from './store.ts'
import { type UploadLimits, Uploads } from './uploads.ts'
import { type KnownUser, type RegistryUser, Users } from './users.ts'
import { answerJson, methodNotAllowed, refuse, type Visit } from './visit.ts'

/** Takes structured records, as pino does. */
export interface RegistryLogger {
  info(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface RegistryServerOptions {
  /** Directory of the registry; made when missing. One server per directory at a time. */
  root: string
  /** Port 0 takes a free one. */
  listen: { host: string; port: number }
  /** PEM. Without it the registry speaks plain HTTP: for loopback and tests. */
  tls?: { cert: string; key: string } | undefined
  /** Nobody else is let in, not even to read. */
  users: readonly RegistryUser[]
  /** Another `host[:port]` whose images are this registry's own repositories: `?ns=` with it is not looked up under `mirror/`. */
  mirrorOf?: string | undefined
  logger?: RegistryLogger | undefined
  /** Aborting closes the server. */
  signal?: AbortSignal | undefined
  limits?: Partial<UploadLimits> | undefined
  /**
   * Removes what nothing names every `intervalMs` (default one hour; 0: only when asked), and of that nothing younger than `graceMs`
   * (default one hour; longer than a push is silent between its blobs and its manifest).
   */
  garbage?: { intervalMs?: number; graceMs?: number } | undefined
  /** How long `close` lets requests finish, in milliseconds. Default 10 000. */
  graceMs?: number | undefined
  /** Milliseconds since 1970. Default Date.now. */
  now?: (() => number) | undefined
}

export interface RegistryServer {
  readonly url: string
  readonly port: number
  /** Removes now what nothing names; safe beside any traffic. @throws OciError `Storage` */
  collectGarbage(options?: { signal?: AbortSignal }): Promise<Collected>
  /** Takes no new request, lets running ones finish within the grace, then cuts them off. */
  close(): Promise<void>
}

const defaultLimits: UploadLimits = { sessions: 1000, expiryMs: 60 * 60 * 1000, blobBytes: 64 * 1024 ** 3 }
/** The longest silence on a connection that is sending or receiving. */
const silenceMs = 60_000
const expiryCheckMs = 5 * 60 * 1000
const hourMs = 60 * 60 * 1000
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
  const now = options.now ?? Date.now
  const store = await Store.open(root, now)
  const uploads = await Uploads.open(join(root, 'uploads'), { ...defaultLimits, ...options.limits }, now)
  const graceMs = options.garbage?.graceMs ?? hourMs
  const collector = new Collector({ store, isPushing: (repository) => uploads.isOpen(repository), graceMs, now })
  const registry = new RegistryHandler(store, uploads, options, now)
  const server = createServer(options.tls, registry.handle)
  server.maxConnections = maximumConnections
  // A large push takes as long as it takes: silence is what ends a request, not its length.
  server.requestTimeout = 0
  server.timeout = silenceMs
  const port = await listen(server, options.listen)
  const host = isIPv6(options.listen.host) ? `[${options.listen.host}]` : options.listen.host
  registry.ownHosts.push(`${host}:${port}`)
  const closed = new AbortController()
  const collections = new Set<Promise<unknown>>()
  const collectGarbage = (call: { signal?: AbortSignal } = {}): Promise<Collected> => {
    const collected = collector.run(call.signal === undefined ? closed.signal : AbortSignal.any([call.signal, closed.signal]))
    collections.add(collected)
    return collected.finally(() => collections.delete(collected))
  }
  const upkeep = [
    every(expiryCheckMs, async () => {
      await uploads.expire().catch((error: unknown) => options.logger?.error({ error: String(error) }, 'uploads could not be expired'))
    }),
    every(options.garbage?.intervalMs ?? hourMs, async () => {
      try {
        const collected = await collectGarbage()
        options.logger?.info(collected, 'garbage collected')
      } catch (error) {
        if (!closed.signal.aborted) options.logger?.error({ error: String(error) }, 'garbage could not be collected')
      }
    }),
  ]
  const shut = async (): Promise<void> => {
    for (const timer of upkeep) clearInterval(timer)
    registry.closing = true
    closed.abort()
    await closeGracefully(server, options.graceMs ?? 10_000)
    await Promise.allSettled(collections)
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

class RegistryHandler {
  readonly ownHosts: string[] = []
  closing = false
  readonly #store: Store
  readonly #uploads: Uploads
  readonly #users: Users
  readonly #guard: LoginGuard
  readonly #logger: RegistryLogger | undefined
  readonly #now: () => number

  constructor(store: Store, uploads: Uploads, options: RegistryServerOptions, now: () => number) {
    this.#store = store
    this.#uploads = uploads
    this.#users = new Users(options.users)
    this.#guard = new LoginGuard(now)
    this.#logger = options.logger
    this.#now = now
    if (options.mirrorOf !== undefined) this.ownHosts.push(options.mirrorOf)
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    const started = this.#now()
    const [path = '', search = ''] = splitUrl(request.url ?? '')
    const visit: Visit = { request, response, method: request.method ?? '', query: new URLSearchParams(search) }
    const user = this.#users.authenticate(request.headers.authorization)
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    response.setHeader('x-content-type-options', 'nosniff')
    if (this.closing) response.setHeader('connection', 'close')
    request.on('error', () => {})
    response.once('close', () => {
      const { statusCode: status, writableFinished: complete } = response
      const fields = {
        method: visit.method,
        path,
        status,
        complete,
        ms: this.#now() - started,
        user: user?.name,
        ns: visit.query.get('ns') ?? undefined,
      }
      this.#logger?.info(fields, 'request')
    })
    this.#answer(visit, path, user).catch((error: unknown) => this.#failed(visit, path, error))
  }

  async #answer(visit: Visit, path: string, user: KnownUser | undefined): Promise<void> {
    this.#watchLogins(visit.request, user)
    if (user === undefined) {
      throw new Refusal(401, 'UNAUTHORIZED', 'give a user name and password', {
        'www-authenticate': 'Basic realm="muster registry", charset="UTF-8"',
      })
    }
    const reads = visit.method === 'GET' || visit.method === 'HEAD'
    if (!reads && user.access !== 'write') throw new Refusal(403, 'DENIED', `${user.name} may only read`)
    const route = parseRoute(path)
    if (route === undefined) throw new Refusal(404, 'UNSUPPORTED', 'no such endpoint')
    await this.#dispatch(visit, reads ? this.#mapped(visit, route) : route, reads)
  }

  /** @throws Refusal TOOMANYREQUESTS */
  #watchLogins(request: IncomingMessage, user: KnownUser | undefined): void {
    const { authorization } = request.headers
    const address = request.socket.remoteAddress
    if (authorization === undefined || address === undefined) return
    const seconds = this.#guard.wait(address, authorization)
    if (seconds > 0) throw new Refusal(429, 'TOOMANYREQUESTS', 'too many wrong passwords; wait', { 'retry-after': String(seconds) })
    if (user === undefined) this.#guard.wrong(address, authorization)
    else this.#guard.right(address, authorization)
  }

  #mapped(visit: Visit, route: Route): Route {
    const ns = visit.query.get('ns')
    if (ns === null || !('repository' in route) || route.kind === 'upload') return route
    const host = visit.request.headers.host
    return { ...route, repository: mirrored(ns, route.repository, host === undefined ? this.ownHosts : [...this.ownHosts, host]) }
  }

  async #dispatch(visit: Visit, route: Route, reads: boolean): Promise<void> {
    const readOnly = (): void => {
      if (!reads) throw methodNotAllowed('GET, HEAD')
    }
    switch (route.kind) {
      case 'version':
        readOnly()
        return answerJson(visit, {}, {})
      case 'catalog':
        readOnly()
        return serveCatalog(this.#store, visit)
      case 'tags':
        readOnly()
        return serveTags(this.#store, visit, route.repository)
      case 'referrers':
        readOnly()
        return serveReferrers(this.#store, visit, route.repository, route.digest)
      case 'manifest':
        return serveManifest(this.#store, visit, route.repository, route.reference)
      case 'blob':
        return serveBlob(this.#store, visit, route.repository, route.digest)
      case 'uploads':
        return serveUploads(this.#store, this.#uploads, visit, route.repository)
      case 'upload':
        return serveUpload(this.#store, this.#uploads, visit, route.repository, route.id)
      default:
        return route satisfies never
    }
  }

  #failed(visit: Visit, path: string, error: unknown): void {
    const { request, response } = visit
    if (response.headersSent || response.destroyed || request.socket.destroyed) {
      // Too late for an answer: the client sees the connection break, and can go on later.
      response.destroy()
      return
    }
    refuse(visit, error instanceof Refusal ? error : this.#broken(visit, path, error))
  }

  #broken(visit: Visit, path: string, error: unknown): Refusal {
    this.#logger?.error({ method: visit.method, path, error: String(error) }, 'request failed')
    return isDiskFull(error)
      ? new Refusal(507, 'INTERNAL', 'the disk of the registry is full; make room there, then push again')
      : new Refusal(500, 'INTERNAL', 'the registry failed; its log says why')
  }
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

function splitUrl(url: string): [string, string] {
  const mark = url.indexOf('?')
  return mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)]
}
