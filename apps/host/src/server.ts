import { chmod, mkdir } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { dirname } from 'node:path'
import * as z from 'zod'
import { HostError, messageOf } from './errors.ts'
import { remove } from './files.ts'
import type { Host } from './host.ts'
import { readLog } from './logs.ts'
import { hostConfigSchema } from './state.ts'

/** Of `sun_path` (unix(7)), less its end. */
const socketPathLimit = 107
const bodyLimit = 64 * 1024
const defaultTailBytes = 64 * 1024
const createSchema = z.strictObject({ name: z.string(), nodes: z.number().int().min(1).max(16).default(1) })
const actionSchema = z.enum(['start', 'stop', 'restart'])
const startSchema = z.strictObject({ config: hostConfigSchema.optional() })

/** One line of an answer that takes its time (NDJSON). The last one is `done` or `error`. */
export type ProgressLine =
  | { readonly type: 'progress'; readonly message: string }
  | { readonly type: 'done' }
  | { readonly type: 'error'; readonly code: string; readonly message: string }

/**
 * Serves the host's interface on a Unix socket that only root may open. `onStopped` is called when `POST /v1/stop` is done
 * and answered.
 */
export async function serveHost(host: Host, socket: string, onStopped: () => void): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(socket) > socketPathLimit) {
    throw new HostError(
      'InstanceInvalid',
      `${socket} is longer than the ${socketPathLimit} bytes that a Unix socket may have; choose a shorter state folder.`,
    )
  }
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 })
  await remove(socket)
  const server: Server = createServer((request, response) => {
    answer(host, request, response, onStopped).catch((error: unknown) => {
      if (!response.headersSent) sendJson(response, statusOf(error), failure(error))
      else response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
  await chmod(socket, 0o600)
  return {
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      await remove(socket)
    },
  }
}

async function answer(host: Host, request: IncomingMessage, response: ServerResponse, onStopped: () => void): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://host')
  const route = `${request.method} ${url.pathname}`
  if (route === 'GET /v1/status') return sendJson(response, 200, await host.status())
  if (route === 'POST /v1/start') {
    const { config } = await body(request, startSchema)
    return await streamProgress(response, (progress) => host.start(config, progress))
  }
  if (route === 'POST /v1/stop') {
    await streamProgress(response, () => host.stop({ forget: true }))
    return onStopped()
  }
  if (route === 'POST /v1/clusters') {
    const { name, nodes } = await body(request, createSchema)
    return await streamProgress(response, (progress) => host.createCluster(name, nodes, progress))
  }
  if (route === 'POST /v1/registry') return await streamProgress(response, (progress) => host.startRegistry(progress))
  const [, acted, action] = /^POST \/v1\/components\/(.+)\/(start|stop|restart)$/.exec(route) ?? []
  if (acted !== undefined && action !== undefined) {
    return await streamProgress(response, () => host.actOn(decodeURIComponent(acted), actionSchema.parse(action)))
  }
  const cluster = /^DELETE \/v1\/clusters\/([^/]+)$/.exec(route)?.[1]
  if (cluster !== undefined) return await streamProgress(response, () => host.deleteCluster(decodeURIComponent(cluster)))
  const component = /^GET \/v1\/logs\/(.+)$/.exec(route)?.[1]
  if (component !== undefined) return await streamLog(host.logFile(decodeURIComponent(component)), url.searchParams, response)
  throw new HostError('BadRequest', `The host has no ${route}.`)
}

async function streamProgress(response: ServerResponse, work: (progress: (message: string) => void) => Promise<void>): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' })
  const line = (content: ProgressLine) => response.write(`${JSON.stringify(content)}\n`)
  try {
    await work((message) => line({ type: 'progress', message }))
    line({ type: 'done' })
  } catch (error) {
    line({ type: 'error', ...failure(error) })
  }
  await new Promise<void>((resolve) => {
    response.once('close', resolve)
    response.end(() => resolve())
  })
}

async function streamLog(file: string, query: URLSearchParams, response: ServerResponse): Promise<void> {
  const tailBytes = Number(query.get('tail') ?? defaultTailBytes)
  if (!Number.isSafeInteger(tailBytes) || tailBytes < 0) throw new HostError('BadRequest', '`tail` is a number of bytes.')
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' })
  for await (const chunk of readLog(file, { tailBytes, follow: query.has('follow'), signal: gone.signal })) {
    if (!response.write(chunk))
      await new Promise<void>((resolve) => {
        response.once('drain', resolve)
        response.once('close', resolve)
      })
  }
  response.end()
}

async function body<T>(request: IncomingMessage, schema: z.ZodType<T>): Promise<T> {
  let text = ''
  for await (const chunk of request) {
    text += String(chunk)
    if (text.length > bodyLimit) throw new HostError('BadRequest', `The request is larger than ${bodyLimit} bytes.`)
  }
  try {
    return schema.parse(text === '' ? {} : JSON.parse(text))
  } catch (cause) {
    throw new HostError('BadRequest', `The request is not as the host expects it: ${messageOf(cause)}`, cause)
  }
}

function failure(error: unknown): { code: string; message: string } {
  return { code: error instanceof HostError ? error.code : 'CommandFailed', message: messageOf(error) }
}

function statusOf(error: unknown): number {
  return error instanceof HostError && (error.code === 'BadRequest' || error.code === 'ComponentUnknown') ? 400 : 500
}

function sendJson(response: ServerResponse, status: number, content: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(content))
}
