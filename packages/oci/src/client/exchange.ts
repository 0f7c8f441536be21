import { addAbortListener } from 'node:events'
import type { ClientRequest, Agent as HttpAgent, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { OciError } from '../errors.ts'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { request: httpRequest } = process.getBuiltinModule('node:http')

/** A request's body: how long it is, and how to read it (again, when the request is sent again). */
export interface Body {
  readonly length: number
  readonly open: () => AsyncIterable<Uint8Array>
}

export interface Outgoing {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Body | undefined
  readonly agent: HttpAgent | HttpsAgent
  /** The longest silence of the peer, in milliseconds. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** A response whose body is still to come. Read it to the end, or discard it. */
export interface Answer {
  readonly url: URL
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Throws OciError `Unreachable` when it breaks off and `Timeout` on silence. */
  readonly body: AsyncIterable<Uint8Array>
  discard(): void
}

/** Carries an error of the caller's own content through the exchange, so that it is not taken for the network's. */
export class ContentFailure extends Error {
  override readonly name = 'ContentFailure'
}

/** One request and its response: no retry, no redirect, no credentials of its own. */
export async function exchange(outgoing: Outgoing): Promise<Answer> {
  outgoing.signal?.throwIfAborted()
  const send = outgoing.url.protocol === 'https:' ? httpsRequest : httpRequest
  const length = outgoing.body === undefined ? {} : { 'content-length': String(outgoing.body.length) }
  const request = send(outgoing.url, { method: outgoing.method, agent: outgoing.agent, headers: { ...outgoing.headers, ...length } })
  const watchdog = new Watchdog(outgoing, (error) => request.destroy(error))
  const abort = outgoing.signal && addAbortListener(outgoing.signal, () => request.destroy(new Error('aborted')))
  const release = (): void => {
    watchdog.close()
    abort?.[Symbol.dispose]()
    // Answered before all was sent: the connection is in the middle of a body, and of no more use.
    if (!request.writableEnded) request.destroy()
  }
  // Kept for good: a socket may fail after the answer is read, and an 'error' without listener ends the process.
  const failure = new Promise<never>((_, reject) => request.on('error', reject))
  const answered = new Promise<IncomingMessage>((resolve) => request.once('response', resolve))
  failure.catch(() => {})
  watchdog.arm()
  try {
    const response = await Promise.race([answered, failure, sendBody(request, outgoing.body, watchdog, answered, failure)])
    watchdog.disarm()
    response.on('error', () => {})
    return {
      url: outgoing.url,
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: readBody(response, outgoing, release),
      discard: () => {
        release()
        discard(response)
      },
    }
  } catch (error) {
    release()
    request.destroy()
    throw wireError(error, outgoing)
  }
}

/** Writes the body with back-pressure, and stops when the peer answers early. Never resolves by itself: the answer decides. */
async function sendBody(
  request: ClientRequest,
  body: Body | undefined,
  watchdog: Watchdog,
  answered: Promise<IncomingMessage>,
  failure: Promise<never>,
): Promise<IncomingMessage> {
  let early = false
  answered.then(
    () => {
      early = true
    },
    () => {},
  )
  if (body !== undefined) {
    // The peer is not silent while our own content is slow to come: only writing is timed.
    watchdog.disarm()
    for await (const chunk of ownContent(body)) {
      if (early) return answered
      watchdog.arm()
      await written(request, chunk)
      if (request.destroyed) return failure
      watchdog.disarm()
    }
    watchdog.arm()
  }
  request.end()
  return answered
}

/**
 * Resolves when the bytes are on their way and their memory is free, or when there is no more use in it. Its listeners go with it: an
 * upload waits here many times.
 */
function written(request: ClientRequest, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const events = ['response', 'close'] as const
    const done = (): void => {
      for (const event of events) request.off(event, done)
      resolve()
    }
    for (const event of events) request.on(event, done)
    request.write(bytes, done)
  })
}

async function* ownContent(body: Body): AsyncGenerator<Uint8Array> {
  const content = body.open()[Symbol.asyncIterator]()
  let finished = false
  try {
    for (;;) {
      const next = await content.next().catch((cause: unknown) => {
        finished = true
        throw new ContentFailure('the content to send could not be read', { cause })
      })
      if (next.done === true) {
        finished = true
        return
      }
      yield next.value
    }
  } finally {
    if (!finished) await content.return?.()
  }
}

async function* readBody(response: IncomingMessage, outgoing: Outgoing, release: () => void): AsyncGenerator<Uint8Array> {
  // Timed only while waiting for the peer; a slow reader is not the peer's silence.
  const watchdog = new Watchdog(outgoing, (error) => response.destroy(error))
  const chunks = response[Symbol.asyncIterator]()
  const trickle = new Trickle(outgoing)
  try {
    for (;;) {
      watchdog.arm()
      const asked = performance.now()
      const next = await chunks.next()
      watchdog.disarm()
      if (next.done === true) return
      trickle.waited(performance.now() - asked, next.value.length)
      yield next.value
    }
  } catch (error) {
    throw wireError(error, outgoing)
  } finally {
    watchdog.close()
    release()
    // Left early: the rest is unwanted, so is the connection.
    if (!response.complete) response.destroy()
  }
}

const discardableBytes = 64 * 1024

/** Reads a small rest so that the connection can be used again; cuts off a long one. */
function discard(response: IncomingMessage): void {
  let bytes = 0
  response.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    if (bytes > discardableBytes) response.destroy()
  })
  response.setTimeout(5_000, () => response.destroy())
}

class Watchdog {
  readonly #outgoing: Outgoing
  readonly #bark: (error: OciError) => void
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(outgoing: Outgoing, bark: (error: OciError) => void) {
    this.#outgoing = outgoing
    this.#bark = bark
  }

  arm(): void {
    clearTimeout(this.#timer)
    if (this.#closed) return
    const { timeoutMs, url } = this.#outgoing
    this.#timer = setTimeout(() => {
      this.#bark(
        new OciError(
          'Timeout',
          `${url.host} was silent for ${timeoutMs} ms during ${describe(this.#outgoing)}. Check the network, then try again.`,
        ),
      )
    }, timeoutMs)
  }

  disarm(): void {
    clearTimeout(this.#timer)
  }

  close(): void {
    this.#closed = true
    this.disarm()
  }
}

const slowestBytesPerSecond = 1024

/** A peer that sends a byte now and then is never silent, and never done: over each time-out, it must send a little. */
export class Trickle {
  readonly #outgoing: Outgoing
  #ms = 0
  #bytes = 0

  constructor(outgoing: Outgoing) {
    this.#outgoing = outgoing
  }

  waited(ms: number, bytes: number): void {
    this.#ms += ms
    this.#bytes += bytes
    const { timeoutMs, url } = this.#outgoing
    if (this.#ms < timeoutMs) return
    if (this.#bytes < (timeoutMs / 1000) * slowestBytesPerSecond) {
      throw new OciError(
        'Timeout',
        `${url.host} sent only ${this.#bytes} bytes in ${timeoutMs} ms of ${describe(this.#outgoing)}. Check the network, then try again.`,
      )
    }
    this.#ms = 0
    this.#bytes = 0
  }
}

/** Method and path; never the query, which may carry a token. */
export function describe(outgoing: Pick<Outgoing, 'method' | 'url'>): string {
  return `${outgoing.method} ${outgoing.url.origin}${outgoing.url.pathname}`
}

const certificateCodes = /^(?:CERT_|ERR_TLS_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|ERR_SSL)/

export function wireError(error: unknown, outgoing: Outgoing): unknown {
  outgoing.signal?.throwIfAborted()
  if (error instanceof OciError || error instanceof ContentFailure) return error
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
  const what = describe(outgoing)
  if (certificateCodes.test(code)) {
    return new OciError(
      'Untrusted',
      `The certificate of ${outgoing.url.host} was not accepted (${code}) in ${what}. Give its CA, or correct the host name.`,
      { cause: error },
    )
  }
  if (code.startsWith('HPE_'))
    return new OciError('BadResponse', `${outgoing.url.host} did not answer ${what} in HTTP (${code}). Check the address and port.`, {
      cause: error,
    })
  if (error instanceof Error && 'code' in error) {
    return new OciError('Unreachable', `${what} failed (${code}). Check that ${outgoing.url.host} is up and reachable.`, { cause: error })
  }
  return error
}
