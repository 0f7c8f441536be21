import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** What is done to a request instead of passing it on, or to its answer; nothing: it passes. */
export type RegistryFault =
  | { readonly status: number; readonly headers?: Record<string, string> }
  /** The connection ends without an answer. */
  | 'cut'
  /** Every answer comes two seconds late. */
  | 'slow'
  /** One byte of the answer a second. */
  | 'trickle'
  /** One bit of it is another. */
  | 'wrong bytes'
  /** The second half is missing, and nothing says so. */
  | 'truncated'
  /** Another manifest than the one that was asked for. */
  | 'other manifest'

/** Stands between an agent and a registry, with TLS on both sides. */
export interface FaultyRegistry {
  readonly port: number
  /** Asked before each request is passed on. */
  fault: (path: string) => RegistryFault | undefined
  close(): Promise<void>
}

export interface FaultyRegistryOptions {
  /** Of the registry behind it; asked each time, as it may be started anew. */
  readonly target: () => number
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string }
}

export async function openFaultyRegistry({ target, tls }: FaultyRegistryOptions): Promise<FaultyRegistry> {
  const agent = new Agent({ keepAlive: false, ca: tls.ca })
  const proxy = { fault: (() => undefined) as FaultyRegistry['fault'] }
  const serve = async (asked: IncomingMessage, answer: ServerResponse): Promise<void> => {
    const fault = proxy.fault(asked.url ?? '')
    if (fault === 'cut') return void asked.socket.destroy()
    if (typeof fault === 'object')
      return void answer.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers }).end('{"errors":[]}')
    if (fault === 'slow') await pause(2_000)
    const { method, url, headers } = asked
    const onward = request({ host: '127.0.0.1', port: target(), method, path: url, headers, agent }, (truth) => {
      const chunks: Buffer[] = []
      truth.on('data', (chunk: Buffer) => chunks.push(chunk))
      truth.once('error', () => answer.destroy())
      truth.once('end', () => {
        const spoiled = method === 'GET' && truth.statusCode === 200
        void pass(truth, Buffer.concat(chunks), spoiled ? fault : undefined, answer)
      })
    })
    onward.once('error', () => answer.destroy())
    asked.pipe(onward)
  }
  const server = createServer(tls, (asked, answer) => {
    serve(asked, answer).catch(() => answer.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(proxy, {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  })
}

async function pass(truth: IncomingMessage, body: Buffer, fault: RegistryFault | undefined, answer: ServerResponse): Promise<void> {
  const { 'content-length': length, 'transfer-encoding': _, ...headers } = truth.headers
  const sent = fault === undefined || typeof fault === 'object' ? body : spoil(body, fault)
  // Of a HEAD the length is told, and nothing comes.
  answer.writeHead(truth.statusCode ?? 502, {
    ...headers,
    'content-length': body.length === 0 && length !== undefined ? length : sent.length,
  })
  if (fault !== 'trickle') return void answer.end(sent)
  for (const byte of sent) {
    if (answer.destroyed) return
    answer.write(Buffer.of(byte))
    await pause(1_000, undefined, { ref: false })
  }
  answer.end()
}

function spoil(body: Buffer, fault: Exclude<RegistryFault, object>): Buffer {
  if (fault === 'truncated') return body.subarray(0, body.length / 2)
  if (fault === 'other manifest') return Buffer.from(JSON.stringify({ ...parsed(body), annotations: { 'example.test/other': 'yes' } }))
  if (fault !== 'wrong bytes' || body.length === 0) return body
  const copy = Buffer.from(body)
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1
  return copy
}

function parsed(body: Buffer): object {
  try {
    return JSON.parse(body.toString('utf8')) as object
  } catch {
    return {}
  }
}
