import { readFile } from 'node:fs/promises'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type RegistryUser, serveRegistry } from '@muster/oci'

/**
 * `honest`: as the registry. `errors`: 500 to everything. `empty`: as if nothing had ever been pushed. `wrong bytes`: one bit of each
 * answer is flipped. `trickle`: one byte of each answer a second. The last two take pushes.
 */
export type Behaviour = 'honest' | 'errors' | 'empty' | 'wrong bytes' | 'trickle'

export interface MisbehavingRegistry {
  /** From now on, on new connections: those that are open break. */
  behave(as: Behaviour): void
  /** Requests since `behave` was last called: when, in milliseconds of `performance.now()`, and from which address. */
  readonly requests: readonly { readonly atMs: number; readonly from: string }[]
  close(): Promise<void>
}

interface Config {
  readonly root: string
  readonly host: string
  readonly port: number
  readonly certificate: string
  readonly key: string
  readonly users: RegistryUser[]
}

/** Listens at the address of an instance's registry, which must be stopped, with its certificate and in front of its data. */
export async function misbehavingRegistry(state: string): Promise<MisbehavingRegistry> {
  const config = JSON.parse(await readFile(path.join(state, 'registry', 'config.json'), 'utf8')) as Config
  const { root, users } = config
  const data = await serveRegistry({ root, users, listen: { host: '127.0.0.1', port: 0 }, graceMs: 100 })
  let behaviour: Behaviour = 'honest'
  let requests: { atMs: number; from: string }[] = []
  const server = createServer({ cert: await readFile(config.certificate), key: await readFile(config.key) }, (asked, answer) => {
    requests.push({ atMs: performance.now(), from: asked.socket.remoteAddress ?? '' })
    const now = behaviour
    if (now === 'errors') return refuse(answer, 500, 'UNKNOWN')
    if (now === 'empty' && asked.url !== '/v2/') {
      if (asked.method !== 'GET' && asked.method !== 'HEAD') return refuse(answer, 500, 'UNKNOWN')
      return refuse(answer, 404, asked.url?.includes('/blobs/') ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN')
    }
    forward(data.port, asked, answer, now)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(config.port, config.host, resolve)
  })
  return {
    behave(as) {
      behaviour = as
      requests = []
      server.closeAllConnections()
    },
    get requests() {
      return requests
    },
    async close() {
      server.closeAllConnections()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
      await data.close()
    },
  }
}

function refuse(answer: ServerResponse, status: number, code: string): void {
  answer.writeHead(status, { 'content-type': 'application/json' })
  answer.end(JSON.stringify({ errors: [{ code, message: 'as the test wants it' }] }))
}

function forward(port: number, asked: IncomingMessage, answer: ServerResponse, behaviour: Behaviour): void {
  const { method, url, headers } = asked
  const sent = request({ host: '127.0.0.1', port, method, path: url, headers, agent: false }, (truth) => {
    answer.writeHead(truth.statusCode ?? 502, truth.headers)
    const spoiled = method === 'GET' && truth.statusCode === 200
    if (spoiled && behaviour === 'wrong bytes')
      truth.on('data', (bytes: Buffer) => answer.write(flipped(bytes))).on('end', () => answer.end())
    else if (spoiled && behaviour === 'trickle') trickle(truth, answer).catch(() => answer.destroy())
    else truth.pipe(answer)
    truth.once('error', () => answer.destroy())
  })
  sent.once('error', () => answer.destroy())
  answer.once('close', () => sent.destroy())
  asked.pipe(sent)
}

/** The same bytes with the lowest bit of the middle one flipped. */
function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  const middle = Math.floor(copy.length / 2)
  copy[middle] = (copy[middle] ?? 0) ^ 1
  return copy
}

async function trickle(truth: IncomingMessage, answer: ServerResponse): Promise<void> {
  for await (const chunk of truth) {
    for (const byte of chunk as Buffer) {
      if (answer.destroyed) return
      answer.write(Buffer.of(byte))
      await pause(1000, undefined, { ref: false })
    }
  }
  answer.end()
}
