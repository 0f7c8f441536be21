import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { KubeObject } from '../object.ts'

/** A request as it came. */
export interface Seen {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Answer = { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> } | 'cut' | 'silent'

/** A watch that the test feeds. */
export interface FakeWatch {
  readonly query: URLSearchParams
  readonly closed: boolean
  send(type: string, object: unknown): void
  bookmark(resourceVersion: string, initialEventsEnd?: boolean): void
  /** Bytes as they are. */
  write(text: string): void
  end(): void
  cut(): void
}

/** A real local HTTP server that plays an API server as badly as a test wants. Serves ConfigMaps of v1. */
export class FakeApiServer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #waiting: FakeWatch[] = []
  readonly #askers: ((watch: FakeWatch) => void)[] = []
  readonly requests: Seen[] = []
  /** Cuts every connection at once. */
  away = false
  /** Answers everything but discovery; a watch that it leaves alone (`undefined`) goes to `nextWatch`. */
  handle: (request: Seen) => Answer | undefined = () => undefined

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response))
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('error', () => {})
      if (this.away) socket.destroy()
    })
  }

  static async start(): Promise<FakeApiServer> {
    const fake = new FakeApiServer()
    await new Promise<void>((resolve) => fake.#server.listen(0, '127.0.0.1', resolve))
    return fake
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The next watch that a client opens, or has opened. */
  nextWatch(): Promise<FakeWatch> {
    const watch = this.#waiting.shift()
    return watch ? Promise.resolve(watch) : new Promise((resolve) => this.#askers.push(resolve))
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const url = new URL(request.url ?? '/', 'http://fake')
    const seen = {
      method: request.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
    }
    this.requests.push(seen)
    if (this.away) return void request.socket.destroy()
    const answer = this.handle(seen) ?? known[url.pathname]
    if (answer === 'cut') return void request.socket.destroy()
    if (answer === 'silent') return
    if (answer) {
      const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(text)
    } else if (url.searchParams.has('watch')) this.#offer(seen, response)
    else response.writeHead(404).end('404 page not found')
  }

  #offer(seen: Seen, response: ServerResponse): void {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    const write = (value: unknown) => void response.write(`${JSON.stringify(value)}\n`)
    const watch: FakeWatch = {
      query: seen.query,
      get closed() {
        return response.destroyed
      },
      send: (type, object) => write({ type, object }),
      bookmark: (resourceVersion, initialEventsEnd = false) => {
        const annotations = initialEventsEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}
        write({ type: 'BOOKMARK', object: { kind: 'ConfigMap', apiVersion: 'v1', metadata: { resourceVersion, ...annotations } } })
      },
      write: (text) => void response.write(text),
      end: () => void response.end(),
      cut: () => void response.destroy(),
    }
    const asker = this.#askers.shift()
    if (asker) asker(watch)
    else this.#waiting.push(watch)
  }
}

export const configMaps = { apiVersion: 'v1', kind: 'ConfigMap' }

export function configMap(name: string, resourceVersion: string, data: Record<string, string> = {}, uid = `uid-${name}`): KubeObject {
  return { ...configMaps, metadata: { name, namespace: 'default', uid, resourceVersion, managedFields: [{ manager: 'someone' }] }, data }
}

export function listOf(resourceVersion: string, items: readonly KubeObject[], next?: string): Answer {
  return { status: 200, body: { kind: 'ConfigMapList', metadata: { resourceVersion, ...(next ? { continue: next } : {}) }, items } }
}

export function status(code: number, reason: string, more: Record<string, unknown> = {}): Answer {
  return { status: code, body: statusObject(code, reason, more) }
}

export function statusObject(code: number, reason: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message: `it is ${reason}`, reason, code, ...more }
}

const discovery: Answer = {
  status: 200,
  body: {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [
      { name: 'configmaps', kind: 'ConfigMap', namespaced: true, verbs: ['get', 'list', 'watch'] },
      { name: 'nodes', kind: 'Node', namespaced: false, verbs: ['get'] },
      { name: 'nodes/status', kind: 'Node', namespaced: false, verbs: ['get'] },
    ],
  },
}

const known: Readonly<Record<string, Answer>> = {
  '/api/v1': discovery,
  '/apis': { status: 200, body: { kind: 'APIGroupList', groups: [] } },
}
