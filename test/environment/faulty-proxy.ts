import { once } from 'node:events'
import type http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

/** A request that comes through, before the server sees it. */
export interface Passing {
  readonly method: string
  readonly path: string
  readonly watch: boolean
}

/** What is done to a request instead of passing it on; nothing: it passes. */
export type Fault =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  /** The connection ends without an answer. */
  | 'cut'
  /** No answer, ever. */
  | 'stall'
  /** The server does it, and the connection ends in the middle of its answer. */
  | 'torn'

/** An answer to a watch on its way from server to client. */
export interface PassingWatch {
  readonly path: string
  readonly closed: boolean
  /** Passes on one half of the next event, then cuts the connection. */
  cutWithinNextEvent(): void
  /** Keeps all that comes from now on to itself; the connection stays open. */
  stall(): void
  cut(): void
}

/** Stands between client and a real API server, with TLS on both sides, and does to requests and watches what a test wants. */
export interface FaultyProxy {
  readonly url: string
  /** All that came, whatever was done to it. */
  readonly requests: readonly Passing[]
  /** Watches that are open now. */
  readonly watches: readonly PassingWatch[]
  /** Asked before each request is passed on; may take its time. */
  fault: (request: Passing) => Fault | undefined | Promise<Fault | undefined>
  /** Told when the server has begun to answer a request that is no watch, before any of it is passed on. */
  answered: (request: Passing) => void
  close(): Promise<void>
}

interface Identity {
  readonly certificate: string
  readonly privateKey: string
}

/** Whether it would change something, were it to arrive: what is asked only in order to look (dryRun) would not. */
export function isWrite({ method, path }: Passing): boolean {
  return method !== 'GET' && !path.includes('dryRun=All')
}

/** `shown` is its own certificate; `client` is who it is for the server, whoever asks. */
export async function openFaultyProxy(
  target: string,
  options: { readonly ca: string; readonly shown: Identity; readonly client: Identity },
): Promise<FaultyProxy> {
  const requests: Passing[] = []
  const watches = new Set<PassingWatch>()
  const sockets = new Set<Socket>()
  const agent = new https.Agent({
    keepAlive: true,
    maxSockets: 64,
    ca: options.ca,
    cert: options.client.certificate,
    key: options.client.privateKey,
  })
  const pass = (request: http.IncomingMessage, response: http.ServerResponse, passing: Passing, torn: boolean) => {
    const { watch } = passing
    const { host: _, ...headers } = request.headers
    // a watch has a connection of its own, so that its end ends nothing else
    const onward = https.request(`${target}${request.url}`, {
      method: request.method,
      headers,
      agent: watch ? new https.Agent({ ...agent.options, keepAlive: false }) : agent,
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    onward.on('response', (answer) => {
      if (!watch) proxy.answered(passing)
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      response.flushHeaders()
      answer.on('error', () => response.destroy())
      if (torn) tear(answer, response)
      else if (watch) follow(request.url ?? '', answer, response, watches)
      else answer.pipe(response)
    })
    request.pipe(onward)
  }
  const proxy = {
    requests,
    get watches() {
      return [...watches]
    },
    fault: (() => undefined) as FaultyProxy['fault'],
    answered: (() => undefined) as FaultyProxy['answered'],
  }
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const url = new URL(request.url ?? '/', target)
    const passing = { method: request.method ?? '', path: `${url.pathname}${url.search}`, watch: url.searchParams.has('watch') }
    requests.push(passing)
    const fault = await proxy.fault(passing)
    if (fault === 'cut') request.socket.destroy()
    else if (fault && fault !== 'stall' && fault !== 'torn')
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers }).end(fault.body)
    else if (fault !== 'stall') pass(request, response, passing, fault === 'torn')
  }
  const identity = { cert: options.shown.certificate, key: options.shown.privateKey }
  const server = https.createServer(identity, (request, response) => void serve(request, response))
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(proxy, {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      agent.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

/** Passes on the first half of an answer, then ends the connection. */
function tear(answer: http.IncomingMessage, response: http.ServerResponse): void {
  const chunks: Buffer[] = []
  answer.on('data', (chunk: Buffer) => chunks.push(chunk))
  answer.on('end', () => {
    const whole = Buffer.concat(chunks)
    response.write(whole.subarray(0, Math.floor(whole.length / 2)), () => response.socket?.end())
  })
}

function follow(path: string, answer: http.IncomingMessage, response: http.ServerResponse, watches: Set<PassingWatch>): void {
  let half = false
  let stalled = false
  const watch = {
    path,
    get closed() {
      return response.destroyed
    },
    cutWithinNextEvent: () => {
      half = true
    },
    stall: () => {
      stalled = true
    },
    cut: () => void response.destroy(),
  }
  watches.add(watch)
  response.on('close', () => watches.delete(watch))
  answer.on('data', (chunk: Buffer) => {
    if (stalled) return
    if (!half) response.write(chunk)
    else {
      half = false
      stalled = true
      response.write(chunk.subarray(0, Math.floor(chunk.length / 2)), () => response.socket?.end())
    }
  })
  answer.on('end', () => stalled || response.end())
}
