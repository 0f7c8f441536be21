import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { KubeError } from '@muster/kube'
import { errorFields, type Log } from '../log.ts'
import { readJsonBody } from './body.ts'
import { ApiError } from './errors.ts'
import { match, type Route } from './router.ts'

export interface ServerOptions {
  readonly listen: { readonly host: string; readonly port: number }
  /** Serving certificate and key, PEM. */
  readonly tls: { readonly certificate: string; readonly privateKey: string }
  /** What client certificates must chain to, PEM. */
  readonly clientCa: string
  readonly routes: readonly Route[]
  readonly log: Log
}

export interface RunningServer {
  readonly port: number
  /** Takes no more connections, lets running requests end for as long as `graceMs`, then cuts them off. */
  close(graceMs: number): Promise<void>
}

const limits = { headersMs: 10_000, requestMs: 30_000, handshakeMs: 10_000, idleMs: 65_000, connections: 4096, headers: 64 }

/** Starts the API: HTTPS, with a client certificate asked for and demanded by the routes that need one. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { listen, tls, clientCa, routes, log } = options
  const stop = new AbortController()
  const server = createServer(
    {
      cert: tls.certificate,
      key: tls.privateKey,
      ca: clientCa,
      requestCert: true,
      // Joining and probes come without a certificate: whether one is needed, and whose, each route decides.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      // FIPS-approved suites and curves only.
      ciphers: 'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256',
      ecdhCurve: 'P-256:P-384',
      handshakeTimeout: limits.handshakeMs,
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.idleMs,
    },
    (message, response) => {
      void answer(message, response, routes, stop.signal, log)
    },
  )
  server.maxConnections = limits.connections
  server.maxHeadersCount = limits.headers
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen.port, listen.host, resolve)
  })
  server.on('error', (error) => log.error(errorFields(error), 'the API server failed'))
  return { port: (server.address() as AddressInfo).port, close: (graceMs) => close(server, stop, graceMs) }
}

async function answer(
  message: IncomingMessage,
  response: ServerResponse,
  routes: readonly Route[],
  stopping: AbortSignal,
  log: Log,
): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const signal = AbortSignal.any([stopping, gone.signal, AbortSignal.timeout(limits.requestMs)])
  try {
    const { route, params } = match(routes, message.method ?? '', message.url ?? '')
    const json = () => readJsonBody(message, route.maxBodyBytes ?? 0)
    const { status, body } = await route.handle({ message, params, json, signal })
    send(response, status ?? (body === undefined ? 204 : 200), body)
  } catch (error) {
    const refusal = toApiError(error)
    const fields = {
      method: message.method,
      path: message.url?.split('?', 1)[0]?.slice(0, 200),
      status: refusal.status,
      from: message.socket.remoteAddress,
      ...errorFields(error),
    }
    if (refusal.code === 'Internal') log.error(fields, 'a request failed')
    else log.info(fields, 'refused a request')
    if (refusal.retryAfterSeconds !== undefined) response.setHeader('retry-after', refusal.retryAfterSeconds)
    send(response, refusal.status, { code: refusal.code, message: refusal.message })
  }
}

/** What a client may know of an error: the API's own words; of others, only whether trying again helps. */
function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof KubeError && (error.transient || error.code === 'Aborted'))
    return new ApiError('Unavailable', 'The hub cannot reach its API server. Try again.', { cause: error, retryAfterSeconds: 2 })
  return new ApiError('Internal', 'The hub failed on this request; its log says why.', { cause: error })
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent || response.destroyed) return
  // What was not read of the request would be taken for the next one.
  if (!response.req.complete) response.setHeader('connection', 'close')
  response.setHeader('cache-control', 'no-store')
  if (body === undefined) {
    response.writeHead(status).end()
    return
  }
  const payload = Buffer.from(JSON.stringify(body))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': payload.length }).end(payload)
}

async function close(server: Server, stop: AbortController, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => {
    stop.abort()
    server.closeAllConnections()
  }, graceMs)
  await closed
  clearTimeout(cut)
}
