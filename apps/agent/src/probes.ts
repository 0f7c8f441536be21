import type { Server } from 'node:http'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { createServer } = process.getBuiltinModule('node:http')

export interface ProbesOptions {
  readonly host: string
  readonly port: number
  /** Whether the agent has an identity and does its work. */
  readonly ready: () => boolean
  /** Whether its parts still move. */
  readonly alive: () => boolean
  /** What `/metrics` says. */
  readonly metrics: () => string
}

/** Answers the kubelet at `/healthz` and `/readyz`, and a Prometheus at `/metrics`. Says nothing else to anybody. */
export class Probes {
  readonly name = 'probes'
  readonly #options: ProbesOptions
  readonly #server: Server

  constructor(options: ProbesOptions) {
    this.#options = options
    this.#server = createServer({ requestTimeout: 5_000, maxHeaderSize: 8_192 }, (request, response) => {
      const path = request.url?.split('?')[0]
      if (path === '/metrics') {
        response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
        response.end(options.metrics())
        return
      }
      const answer = path === '/healthz' ? options.alive() : path === '/readyz' ? options.ready() : undefined
      response.statusCode = answer === undefined ? 404 : answer ? 200 : 503
      response.end(answer === undefined ? 'not found\n' : answer ? 'ok\n' : 'not yet\n')
    })
  }

  /** The port that it listens on. */
  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : this.#options.port
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port, this.#options.host, () => resolve())
    })
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
