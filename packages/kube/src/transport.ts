import type http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { checkServerIdentity, createSecureContext } from 'node:tls'
import type { Clock } from './clock.ts'
import type { ClientConfig, Impersonation } from './config.ts'
import { Credentials, type Material } from './credentials.ts'
import { startDeadline } from './deadline.ts'
import { KubeError } from './error.ts'
import { orAborted } from './or-aborted.ts'

export interface TransportRequest {
  readonly method: string
  /** Path and query below the server's address. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | undefined
  /** In place of whom the configuration names. */
  readonly as?: Impersonation | undefined
  readonly signal?: AbortSignal | undefined
  /** Time for the whole answer, in milliseconds; for `open`, for its head. */
  readonly timeoutMs: number
}

export interface TransportAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

export interface TransportOptions {
  readonly userAgent: string
  readonly clock: Clock
  /** Largest body that is read, in bytes. */
  readonly bodyLimit: number
  /** Reads the configuration again, for what it says of `ca` and `user`. */
  readonly reread?: (() => Promise<ClientConfig>) | undefined
}

interface Agents {
  readonly material: Material
  readonly requests: http.Agent
  readonly watches: http.Agent
}

/** HTTP/1.1 to one API server: connections that are kept, fresh credentials, a deadline and a size limit for each answer. */
export class Transport {
  readonly #config: ClientConfig
  readonly #options: TransportOptions
  readonly #credentials: Credentials
  readonly #url: URL
  readonly #fixedHeaders: http.OutgoingHttpHeaders
  #agents: Agents | undefined
  #closed = false

  constructor(config: ClientConfig, options: TransportOptions) {
    if (!URL.canParse(config.server))
      throw new KubeError('Config', `"${config.server}" is no address of an API server. Give https://host:port.`)
    this.#config = config
    this.#options = options
    this.#url = new URL(config.server)
    this.#credentials = new Credentials(config, options.clock, options.reread)
    this.#fixedHeaders = { accept: 'application/json', 'user-agent': options.userAgent }
    if (config.proxyUrl && !knowsProxies(process.versions.node)) {
      throw new KubeError(
        'Config',
        `Node ${process.versions.node} knows no proxies. Use Node 24.5 or later, or a kubeconfig without proxy-url.`,
      )
    }
    if (this.#url.protocol === 'http:' && config.user && Object.keys(config.user).length > 0 && !isLoopback(this.#url.hostname)) {
      throw new KubeError('Config', `Credentials would go to ${config.server} unencrypted. Use https.`)
    }
  }

  /** Sends a request and reads the whole answer. Throws `Unreachable`, `Timeout`, `BadResponse`, `Aborted`, `Config`. */
  async send(request: TransportRequest): Promise<TransportAnswer> {
    const deadline = startDeadline(request.timeoutMs, request.signal, this.#options.clock)
    try {
      const response = await this.#authorized(request, deadline.signal, 'requests')
      const body = await readBody(response, this.#options.bodyLimit)
      return { status: response.statusCode ?? 0, headers: response.headers, body }
    } catch (cause) {
      throw this.#failure(request, cause, deadline.expired)
    } finally {
      deadline.release()
    }
  }

  /** Sends a request on a connection of its own and gives the answer as it comes. It ends with the signal. */
  async open(request: TransportRequest): Promise<http.IncomingMessage> {
    const head = startDeadline(request.timeoutMs, request.signal, this.#options.clock)
    const stop = new AbortController()
    const end = () => stop.abort(head.signal.reason)
    head.signal.addEventListener('abort', end, { once: true })
    try {
      const response = await this.#authorized(request, stop.signal, 'watches')
      const follow = () => response.destroy(new DOMException('stopped', 'AbortError'))
      request.signal?.addEventListener('abort', follow, { once: true })
      response.once('close', () => request.signal?.removeEventListener('abort', follow))
      if (request.signal?.aborted) follow()
      response.socket?.setKeepAlive(true, 15_000)
      return response
    } catch (cause) {
      throw this.#failure(request, cause, head.expired)
    } finally {
      head.signal.removeEventListener('abort', end)
      head.release()
    }
  }

  /** Reads what is left of an answer, within the usual limits. */
  async rest(response: http.IncomingMessage, timeoutMs: number): Promise<Buffer> {
    const cancel = this.#options.clock.after(timeoutMs, () => response.destroy())
    try {
      return await readBody(response, this.#options.bodyLimit)
    } catch (cause) {
      throw new KubeError('Unreachable', `The answer of ${this.#url.origin} was cut off. Try later.`, { cause })
    } finally {
      cancel()
    }
  }

  /** Ends all connections. */
  close(): void {
    this.#closed = true
    this.#agents?.requests.destroy()
    this.#agents?.watches.destroy()
  }

  /** After a 401 or an untrusted certificate, what may have been renewed is read again, and the request is repeated once. */
  async #authorized(request: TransportRequest, signal: AbortSignal, use: 'requests' | 'watches'): Promise<http.IncomingMessage> {
    try {
      const response = await this.#exchange(request, signal, use)
      if (response.statusCode !== 401 || !this.#credentials.refresh()) return response
      response.resume()
    } catch (error) {
      // nothing was sent yet: a handshake comes before the request
      if (!untrusted.test(codeOf(error)) || !this.#credentials.refresh()) throw error
    }
    return await this.#exchange(request, signal, use)
  }

  async #exchange(request: TransportRequest, signal: AbortSignal, use: 'requests' | 'watches'): Promise<http.IncomingMessage> {
    const material = await orAborted(this.#credentials.current(), signal, 'credentials')
    const secure = this.#url.protocol === 'https:'
    // loaded only where it is needed: as a module, node:http brings a web socket client along, 8 MB in each process
    const protocol = secure ? https : await import('node:http')
    const agent = this.#agentsFor(material, protocol.Agent)[use]
    const body = request.body === undefined ? undefined : Buffer.from(request.body)
    const headers: http.OutgoingHttpHeaders = {
      ...this.#fixedHeaders,
      ...request.headers,
      ...impersonationHeaders(request.as ?? this.#config.impersonate),
    }
    if (material.authorization) headers['authorization'] = material.authorization
    if (body) headers['content-length'] = body.length
    const prefix = this.#url.pathname.replace(/\/$/, '')
    return await new Promise((resolve, reject) => {
      const outgoing = protocol.request({
        agent,
        signal,
        headers,
        method: request.method,
        path: `${prefix}${request.path}`,
        host: this.#url.hostname.replace(/^\[|\]$/g, ''),
        port: this.#url.port || (secure ? 443 : 80),
      })
      outgoing.on('response', resolve)
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  /** Agents hold the TLS material: other material, other agents; requests under way end on the old ones. */
  #agentsFor(material: Material, Agent: new (options: https.AgentOptions) => http.Agent): Agents {
    if (this.#closed) throw new KubeError('Aborted', 'This client is closed.')
    const old = this.#agents
    if (old && sameTls(old.material, material)) return old
    const tls = tlsOptions(this.#config, material, this.#url.hostname)
    // everything goes through the proxy where one is named, whatever the environment says of exceptions
    const proxyUrl = this.#config.proxyUrl
    const proxy = proxyUrl ? { proxyEnv: { HTTP_PROXY: proxyUrl, HTTPS_PROXY: proxyUrl, NO_PROXY: '' } } : {}
    // no resumed sessions: each connection looks at the server's certificate again, as it may have changed
    this.#agents = {
      material,
      requests: new Agent({
        ...tls,
        ...proxy,
        maxCachedSessions: 0,
        keepAlive: true,
        keepAliveMsecs: 15_000,
        maxSockets: 32,
        // a burst of requests is answered by the connections of the one before: each new one costs both sides a handshake
        maxFreeSockets: 16,
        timeout: 60_000,
      }),
      watches: new Agent({ ...tls, ...proxy, maxCachedSessions: 0, keepAlive: false }),
    }
    if (old) retire(old.requests)
    return this.#agents
  }

  #failure(request: TransportRequest, cause: unknown, expired: boolean): KubeError {
    if (cause instanceof KubeError && cause.code !== 'Aborted') return cause
    const what = `${request.method} ${this.#url.origin}${request.path.split('?')[0]}`
    if (expired) return new KubeError('Timeout', `No answer to ${what} within ${request.timeoutMs} ms. Try later.`, { cause })
    if (request.signal?.aborted) return new KubeError('Aborted', `${what} was stopped by its caller.`, { cause: request.signal.reason })
    if (cause instanceof KubeError) return cause
    const code = codeOf(cause)
    if (untrusted.test(code)) {
      const message = `The certificate of ${this.#url.origin} is not trusted (${code}). Check the certificate authority and the server's name.`
      return new KubeError('Unreachable', message, { cause, transient: false })
    }
    return new KubeError('Unreachable', `Could not reach ${this.#url.origin}${code ? ` (${code})` : ''}. Check that the API server runs.`, {
      cause,
    })
  }
}

/** Codes of OpenSSL's verification and of Node's check of names: waiting does not help. */
const untrusted = /^(UNABLE_TO_|CERT_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH_|ERR_TLS_CERT)/

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function sameTls(one: Material, other: Material): boolean {
  return one.ca === other.ca && one.certificate === other.certificate && one.key === other.key
}

/** Closes connections that nobody uses; the others close when their requests have ended. */
function retire(agent: http.Agent): void {
  agent.maxFreeSockets = 0
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy()
}

function tlsOptions(config: ClientConfig, material: Material, host: string): https.AgentOptions {
  const name = config.serverName ?? host.replace(/^\[|\]$/g, '')
  return {
    // one for all connections: certificates are parsed once, not for each
    secureContext: createSecureContext({
      minVersion: 'TLSv1.2',
      ...(material.ca === undefined ? {} : { ca: material.ca }),
      ...(material.certificate === undefined ? {} : { cert: material.certificate }),
      ...(material.key === undefined ? {} : { key: material.key }),
    }),
    // an address is never sent as SNI (RFC 6066), but the certificate must be for it
    ...(isIP(name) ? { checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate) } : { servername: name }),
    ...(config.insecureSkipTlsVerify ? { rejectUnauthorized: false } : {}),
  }
}

function impersonationHeaders(as: Impersonation | undefined): http.OutgoingHttpHeaders {
  if (!as) return {}
  const headers: http.OutgoingHttpHeaders = { 'impersonate-user': as.user }
  if (as.uid) headers['impersonate-uid'] = as.uid
  if (as.groups && as.groups.length > 0) headers['impersonate-group'] = [...as.groups]
  for (const [key, values] of Object.entries(as.extra ?? {}))
    headers[`impersonate-extra-${encodeURIComponent(key.toLowerCase())}`] = [...values]
  return headers
}

/** Agents have `proxyEnv` since Node 24.5; older ones would go past the proxy without a word. */
function knowsProxies(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 24 || (major === 24 && minor >= 5)
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

async function readBody(response: http.IncomingMessage, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) {
      response.destroy()
      throw new KubeError('BadResponse', `The answer is larger than ${limit} bytes. Ask for less at a time.`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
