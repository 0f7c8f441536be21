import type { IncomingMessage, ServerResponse } from 'node:http'
import { isDiskFull } from '../disk.ts'
import { isRepository } from '../reference.ts'
import type { LoginGuard } from './access/login-guard.ts'
import { authenticate, type Principal } from './access/principal.ts'
import type { Action } from './access/scopes.ts'
import type { Tokens } from './access/tokens.ts'
import type { Users } from './access/users.ts'
import { type Admin, serveAdmin } from './admin/admin-routes.ts'
import { serveBlob, serveUpload, serveUploads } from './blob-routes.ts'
import { serveCatalog, serveManifest, serveReferrers, serveTags } from './manifest-routes.ts'
import { mirrored } from './mirror.ts'
import type { RegistryLogger } from './options.ts'
import { Refusal } from './refusal.ts'
import { parseRoute, type Route } from './route.ts'
import type { Store } from './store.ts'
import type { AuditLog } from './upkeep/audit.ts'
import { auditOf } from './upkeep/audit-entry.ts'
import type { ChannelGate } from './upkeep/channel-gate.ts'
import type { Metrics } from './upkeep/metrics.ts'
import type { PushQuota } from './upkeep/push-quota.ts'
import type { RecentReads } from './upkeep/recent-reads.ts'
import type { Uploads } from './uploads.ts'
import type { Upstreams } from './upstream/upstreams.ts'
import { answer, answerJson, methodNotAllowed, refuse, type Visit } from './visit.ts'

export interface HandlerParts {
  readonly store: Store
  readonly uploads: Uploads
  readonly users: Users
  readonly tokens: Tokens
  readonly guard: LoginGuard
  readonly audit: AuditLog
  readonly metrics: Metrics
  readonly pushQuota: PushQuota
  readonly upstreams: Upstreams
  readonly reads: RecentReads
  readonly gate: ChannelGate
  readonly admin: Admin
  readonly logger: RegistryLogger | undefined
  readonly now: () => number
  /** Hosts by which this registry itself is known. */
  readonly ownHosts: readonly string[]
}

/** Answers requests: who asks, may he, and then whoever's job it is. */
export class RegistryHandler {
  readonly ownHosts: string[]
  closing = false
  readonly #parts: HandlerParts
  readonly #moved = new WeakMap<object, { readonly bytesRead: number; readonly bytesWritten: number }>()

  constructor(parts: HandlerParts) {
    this.#parts = parts
    this.ownHosts = [...parts.ownHosts]
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    const { now, users, tokens } = this.#parts
    const started = now()
    const [path = '', search = ''] = splitUrl(request.url ?? '')
    const visit: Visit = { request, response, method: request.method ?? '', query: new URLSearchParams(search) }
    const principal = authenticate(request.headers.authorization, users, tokens)
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    response.setHeader('x-content-type-options', 'nosniff')
    if (this.closing) response.setHeader('connection', 'close')
    request.on('error', () => {})
    response.once('close', () => {
      const ms = now() - started
      this.#note(visit, path, principal, ms)
      this.#measure(visit, path, ms)
    })
    this.#answer(visit, path, principal).catch((error: unknown) => this.#failed(visit, path, error))
  }

  #note(visit: Visit, path: string, principal: Principal | undefined, ms: number): void {
    const { audit, logger, now } = this.#parts
    const { method, request, response, query } = visit
    const { statusCode: status, writableFinished: complete } = response
    const fields = { method, path, status, complete, ms, user: principal?.name, ns: query.get('ns') ?? undefined }
    logger?.info(fields, 'request')
    const entry = principal && auditOf(visit, path)
    if (entry === undefined || principal === undefined) return
    audit.record({ time: new Date(now()).toISOString(), who: principal.name, from: request.socket.remoteAddress ?? '', ...entry, status })
  }

  #measure({ method, request, response }: Visit, path: string, ms: number): void {
    const { metrics } = this.#parts
    // A connection carries requests one after another: what it moved since the last one ended was for this one.
    const { bytesRead, bytesWritten } = request.socket
    const before = this.#moved.get(request.socket)
    this.#moved.set(request.socket, { bytesRead, bytesWritten })
    const received = bytesRead - (before?.bytesRead ?? 0)
    const sent = bytesWritten - (before?.bytesWritten ?? 0)
    metrics.request(kindOf(path), knownMethods.has(method) ? method : 'other', response.statusCode, ms / 1000)
    // A connection that is gone has no count of its bytes any more.
    metrics.count('muster_registry_received_bytes_total', 'Bytes of requests.', {}, Math.max(0, received))
    metrics.count('muster_registry_sent_bytes_total', 'Bytes of answers.', {}, Math.max(0, sent))
  }

  async #answer(visit: Visit, path: string, principal: Principal | undefined): Promise<void> {
    this.#watchLogins(visit.request, principal)
    if (principal === undefined) {
      throw new Refusal(401, 'UNAUTHORIZED', 'give a user name and password, or a token as password', {
        'www-authenticate': 'Basic realm="muster registry", charset="UTF-8"',
      })
    }
    if (path === '/metrics') return this.#metrics(visit, principal)
    if (path.startsWith('/_muster/')) return serveAdmin(this.#parts.admin, visit, path, principal)
    const reads = visit.method === 'GET' || visit.method === 'HEAD'
    if (!reads && !principal.everywhere('push')) {
      // Said of all that writes, whatever it names: a reader learns nothing by trying.
      const route = routeOrNothing(path)
      if (route === undefined || !('repository' in route) || !this.#mayWrite(principal, visit, route.repository))
        throw new Refusal(
          403,
          'DENIED',
          `${principal.name} may only read${route !== undefined && 'repository' in route ? ` ${route.repository}` : ''}`,
        )
    }
    const route = parseRoute(path)
    if (route === undefined) throw new Refusal(404, 'UNSUPPORTED', 'no such endpoint')
    await (reads ? this.#read(visit, route, principal) : this.#write(visit, route, principal))
  }

  /** @throws Refusal TOOMANYREQUESTS */
  #watchLogins(request: IncomingMessage, principal: Principal | undefined): void {
    const { guard } = this.#parts
    const { authorization } = request.headers
    const address = request.socket.remoteAddress
    if (authorization === undefined || address === undefined) return
    const seconds = guard.wait(address, authorization)
    if (seconds > 0) throw new Refusal(429, 'TOOMANYREQUESTS', 'too many wrong passwords; wait', { 'retry-after': String(seconds) })
    if (principal === undefined) guard.wrong(address, authorization)
    else guard.right(address, authorization)
  }

  #mayWrite(principal: Principal, { method }: Visit, repository: string): boolean {
    return principal.may(method === 'DELETE' ? 'delete' : 'push', repository)
  }

  async #metrics(visit: Visit, principal: Principal): Promise<void> {
    if (visit.method !== 'GET' && visit.method !== 'HEAD') throw methodNotAllowed('GET, HEAD')
    if (!principal.metrics) throw new Refusal(403, 'DENIED', `${principal.name} may not read the metrics`)
    await this.#parts.admin.refreshMetrics()
    answer(visit, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }, new TextEncoder().encode(this.#parts.metrics.text()))
  }

  async #write(visit: Visit, route: Route, principal: Principal): Promise<void> {
    const { store, uploads, upstreams, pushQuota, gate } = this.#parts
    if ('repository' in route) {
      const { repository } = route
      // An upload is given up by who may push.
      const action = visit.method === 'DELETE' && route.kind !== 'upload' ? 'delete' : 'push'
      demand(principal, action, repository)
      if (action === 'push' && upstreams.owns(repository))
        throw new Refusal(403, 'DENIED', `${repository} caches another registry: nothing is pushed to it`)
      if (route.kind === 'uploads') this.#checkMount(visit, principal)
    }
    await pushQuota.serve(visit, route, async (guarded) => {
      switch (route.kind) {
        case 'version':
        case 'catalog':
        case 'tags':
        case 'referrers':
          throw methodNotAllowed('GET, HEAD')
        case 'manifest':
          return gate.enter(route.repository, () => serveManifest(store, guarded, route.repository, route.reference))
        case 'blob':
          return serveBlob(store, guarded, route.repository, route.digest)
        case 'uploads':
          return serveUploads(store, uploads, guarded, route.repository)
        case 'upload':
          return serveUpload(store, uploads, guarded, route.repository, route.id)
        default:
          return route satisfies never
      }
    })
  }

  /** Content is taken over only from where it may be read; else an upload begins, as for content that is not there. */
  #checkMount({ query }: Visit, principal: Principal): void {
    if (!query.has('mount') || principal.everywhere('pull')) return
    const from = query.get('from')
    if (from === null || (isRepository(from) && !principal.may('pull', from))) query.delete('mount')
  }

  async #read(visit: Visit, asked: Route, principal: Principal): Promise<void> {
    const { store, uploads, upstreams, reads, now } = this.#parts
    const route = await this.#mapped(visit, asked)
    if ('repository' in route && route.kind !== 'upload' && route.kind !== 'uploads') demand(principal, 'pull', route.repository)
    const cached = 'repository' in route ? upstreams.find(route.repository) : undefined
    switch (route.kind) {
      case 'version':
        return answerJson(visit, {}, {})
      case 'catalog':
        return serveCatalog(store, visit, (repository) => principal.may('pull', repository))
      case 'tags':
        return serveTags(store, visit, route.repository, cached && (await upstreams.tags(cached)))
      case 'referrers':
        if (cached !== undefined) await upstreams.referrers(cached, route.digest)
        return serveReferrers(store, visit, route.repository, route.digest)
      case 'manifest':
        if (cached !== undefined) await upstreams.manifest(cached, route.reference)
        reads.note(route.repository, route.reference, now())
        return serveManifest(store, visit, route.repository, route.reference)
      case 'blob':
        if (cached !== undefined && (await upstreams.blob(visit, cached, route.digest))) return
        return serveBlob(store, visit, route.repository, route.digest)
      case 'uploads':
        throw methodNotAllowed('POST')
      case 'upload':
        demand(principal, 'push', route.repository)
        return serveUpload(store, uploads, visit, route.repository, route.id)
      default:
        return route satisfies never
    }
  }

  /** What a node asks for with `?ns=` is looked for in what was published here; where it is not, in the cache of that host. */
  async #mapped(visit: Visit, route: Route): Promise<Route> {
    const ns = visit.query.get('ns')
    if (ns === null || !('repository' in route) || route.kind === 'upload') return route
    const { upstreams } = this.#parts
    const host = visit.request.headers.host
    const repository = mirrored(ns, route.repository, host === undefined ? this.ownHosts : [...this.ownHosts, host])
    const cache = repository === route.repository ? undefined : upstreams.repositoryOf(ns, route.repository)
    const taken = cache === undefined || (await this.#holds(repository, route)) ? repository : cache
    return { ...route, repository: taken }
  }

  async #holds(repository: string, route: Route): Promise<boolean> {
    const { store } = this.#parts
    switch (route.kind) {
      case 'manifest':
        return (await store.manifest(repository, route.reference)) !== undefined
      case 'blob':
        return (await store.blobSize(repository, route.digest)) !== undefined
      case 'referrers':
        return (await store.manifestSize(repository, route.digest)) !== undefined
      default:
        return store.exists(repository)
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
    this.#parts.logger?.error({ method: visit.method, path, error: String(error) }, 'request failed')
    return isDiskFull(error)
      ? new Refusal(507, 'INTERNAL', 'the disk of the registry is full; make room there, then push again')
      : new Refusal(500, 'INTERNAL', 'the registry failed; its log says why')
  }
}

const knownMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'])
const words: Record<Action, string> = { pull: 'pull from', push: 'push to', delete: 'delete from' }

/** @throws Refusal DENIED */
function demand(principal: Principal, action: Action, repository: string): void {
  if (!principal.may(action, repository)) throw new Refusal(403, 'DENIED', `${principal.name} may not ${words[action]} ${repository}`)
}

function routeOrNothing(path: string): Route | undefined {
  try {
    return parseRoute(path)
  } catch (error) {
    if (error instanceof Refusal) return undefined
    throw error
  }
}

function kindOf(path: string): string {
  if (path === '/metrics') return 'metrics'
  if (path.startsWith('/_muster/')) return 'admin'
  return routeOrNothing(path)?.kind ?? 'other'
}

function splitUrl(url: string): [string, string] {
  const mark = url.indexOf('?')
  return mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)]
}
