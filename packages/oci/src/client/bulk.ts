import { addAbortListener } from 'node:events'
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { blocks } from '../blocks.ts'
import { OciError } from '../errors.ts'
import { type Answer, describe, type Outgoing, Trickle, wireError } from './exchange.ts'
import { type ResponseHead, readResponseHead } from './response-head.ts'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { validateHeaderValue } = process.getBuiltinModule('node:http')

/** So many full blocks may wait to be taken; then the peer waits. */
const waitingBlocks = 2
/** What comes slowly is handed on after so long, also when it is no block full. */
const partialMs = 1000

/**
 * A GET whose body is long, on a connection of its own. What comes goes right from the socket into blocks that are used again: a chunk
 * of the body is valid until the next is asked for. Node's HTTP makes memory for every 16 KiB, copies it there, and has it collected,
 * which takes twice the time of the processor. A body without a length (chunked) is left to `exchange`: then this is undefined.
 * @param secureContext whom to trust; undefined: the system's
 * @throws OciError as `exchange` does
 */
export async function bulkExchange(outgoing: Outgoing, secureContext: SecureContext | undefined): Promise<Answer | undefined> {
  outgoing.signal?.throwIfAborted()
  const intake = new Intake(outgoing, secureContext)
  const { status, headers, length } = await intake.head.catch((error: unknown) => {
    intake.close()
    throw wireError(error, outgoing)
  })
  if (length === undefined) intake.close()
  return length === undefined ? undefined : { url: outgoing.url, status, headers, body: intake.body(), discard: () => intake.close() }
}

/** Bytes in a block that is used again when they are done with. */
interface Piece {
  readonly block: Uint8Array
  readonly bytes: Uint8Array
}

const nowhere = new Uint8Array(1)

/** What comes on one connection that is asked one thing. */
class Intake {
  readonly head: Promise<ResponseHead>
  readonly #outgoing: Outgoing
  readonly #socket: Socket
  readonly #trickle: Trickle
  readonly #abort: Disposable | undefined
  readonly #headCame = Promise.withResolvers<ResponseHead>()
  /** Bytes of the body that are in no piece yet; undefined until the head says how long it is. */
  #left: number | undefined
  #block: Uint8Array | undefined
  /** Where in the block what is in no piece yet begins and ends. */
  #start = 0
  #end = 0
  readonly #pieces: Piece[] = []
  #paused = false
  #closed = false
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined
  /** Since when the peer is waited for, as far as it is not counted yet. */
  #waitingSince: number | undefined = performance.now()
  #handedAt = performance.now()

  constructor(outgoing: Outgoing, secureContext: SecureContext | undefined) {
    this.#outgoing = outgoing
    this.#trickle = new Trickle(outgoing)
    this.head = this.#headCame.promise
    const request = requestHead(outgoing)
    this.#socket = connect(outgoing, secureContext, { buffer: () => this.#room(), callback: (bytes) => this.#received(bytes) })
    this.#socket
      .setTimeout(outgoing.timeoutMs, () => this.#silent())
      .on('error', (error) => this.#fail(error))
      .on('close', () => this.#fail(Object.assign(new Error('the connection ended'), { code: 'ECONNRESET' })))
    this.#abort = outgoing.signal && addAbortListener(outgoing.signal, () => this.#socket.destroy(new Error('aborted')))
    this.#socket.write(request, 'latin1')
    // That the peer is done is noticed only while it flows.
    this.#socket.resume()
  }

  /** As many bytes as the head promised. Whoever leaves early closes the connection. */
  async *body(): AsyncGenerator<Uint8Array> {
    let lent = false
    try {
      for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) {
        lent = true
        yield piece.bytes
        lent = false
        blocks.giveBack(piece.block)
      }
      this.#socket.destroySoon()
    } finally {
      // Whoever left may still have it.
      if (lent) blocks.drop()
      this.close()
    }
  }

  close(): void {
    this.#closed = true
    this.#abort?.[Symbol.dispose]()
    this.#socket.destroy()
    for (const { block } of this.#pieces.splice(0)) blocks.giveBack(block)
    if (this.#block !== undefined) blocks.drop()
    this.#block = undefined
  }

  /** Undefined at the end of the body. */
  async #next(): Promise<Piece | undefined> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) {
        this.#resume()
        return piece
      }
      if (this.#left === 0) return undefined
      if (this.#failure !== undefined) throw wireError(this.#failure.error, this.#outgoing)
      this.#waitingSince = performance.now()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#waitingSince = undefined
    }
  }

  #resume(): void {
    if (!this.#paused || this.#left === 0) return
    this.#paused = false
    this.#socket.setTimeout(this.#outgoing.timeoutMs).resume()
  }

  /** Where the next bytes go. */
  #room(): Uint8Array {
    if (this.#closed) return nowhere
    this.#block ??= blocks.take()
    return this.#block.subarray(this.#end)
  }

  /** Whether more may come. */
  #received(bytes: number): boolean {
    if (this.#closed) return false
    this.#end += bytes
    try {
      this.#count(bytes)
    } catch (error) {
      this.#socket.destroy(error instanceof Error ? error : new Error(String(error)))
    }
    this.#paused = this.#pieces.length >= waitingBlocks || this.#left === 0
    return !this.#paused
  }

  #count(bytes: number): void {
    const now = performance.now()
    if (this.#waitingSince !== undefined) {
      this.#trickle.waited(now - this.#waitingSince, bytes)
      this.#waitingSince = now
    }
    if (this.#left === undefined) this.#readHead()
    if (this.#left === undefined) return
    const came = this.#end - this.#start
    if (came >= this.#left || this.#end === this.#block?.length || now - this.#handedAt > partialMs) this.#hand()
  }

  #readHead(): void {
    const { host } = this.#outgoing.url
    for (;;) {
      const head = readResponseHead(this.#block?.subarray(this.#start, this.#end) ?? nowhere, host)
      if (head === undefined) return
      this.#start += head.bytes
      // More is to come after what only informs (RFC 9110, 15.2).
      if (head.status < 200) continue
      this.#left = head.length ?? 0
      this.#headCame.resolve(head)
      return
    }
  }

  /** Makes what came a piece that can be taken. More than was promised is not the body's. */
  #hand(): void {
    const bytes = this.#block?.subarray(this.#start, Math.min(this.#end, this.#start + (this.#left ?? 0)))
    if (this.#block !== undefined && bytes !== undefined && bytes.length > 0) {
      this.#pieces.push({ block: this.#block, bytes })
      this.#left = (this.#left ?? 0) - bytes.length
      this.#block = undefined
      this.#start = 0
      this.#end = 0
    }
    this.#handedAt = performance.now()
    this.#wake?.()
  }

  #silent(): void {
    // It is not silent, it is not asked.
    if (this.#paused) return
    const { timeoutMs, url } = this.#outgoing
    this.#socket.destroy(
      new OciError(
        'Timeout',
        `${url.host} was silent for ${timeoutMs} ms during ${describe(this.#outgoing)}. Check the network, then try again.`,
      ),
    )
  }

  /** What came before it is of use: the next try goes on there. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = { error }
    this.#headCame.reject(error)
    this.#hand()
  }
}

function connect({ url }: Outgoing, secureContext: SecureContext | undefined, onread: OnReadOpts): Socket {
  const secure = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const to = { host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port), onread }
  if (!secure) return connectPlain(to)
  return connectTls({
    ...to,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(secureContext === undefined ? {} : { secureContext }),
  })
}

function requestHead({ url, headers }: Outgoing): string {
  const lines = Object.entries({ ...headers, host: url.host, connection: 'close' }).map(([name, value]) => {
    validateHeaderValue(name, value)
    return `${name}: ${value}\r\n`
  })
  return `GET ${url.pathname}${url.search} HTTP/1.1\r\n${lines.join('')}\r\n`
}
