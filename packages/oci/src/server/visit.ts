import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Refusal } from './refusal.ts'
import type { Incoming, Take } from './uploads.ts'

/** One request being answered. */
export interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly method: string
  readonly query: URLSearchParams
  /** Told how many bytes of the body have come, before the last of them are used; throwing refuses the rest. */
  readonly arrived?: ((bytes: number) => Promise<void> | undefined) | undefined
}

/** Answers with a body in memory; a HEAD request gets the headers only. */
export function answer(visit: Visit, status: number, headers: OutgoingHttpHeaders, body: Uint8Array = new Uint8Array()): void {
  const { request, response } = visit
  if (hasBody(request) && !request.complete) drain(request)
  // 204 has no length (RFC 9110, 8.6).
  response.writeHead(status, status === 204 ? headers : { 'content-length': body.length, ...headers })
  response.end(visit.method === 'HEAD' ? undefined : body)
}

const drainedBytes = 8 * 1024 * 1024

/**
 * Reads what is left of a body that is refused. Closing at once would reset the connection, and the client might never read why; one
 * that does not stop is cut off.
 */
function drain(request: IncomingMessage): void {
  let bytes = 0
  request.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    if (bytes > drainedBytes) request.destroy()
  })
  request.resume()
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
}

export function answerJson(visit: Visit, headers: OutgoingHttpHeaders, json: unknown): void {
  answer(visit, 200, { 'content-type': 'application/json', ...headers }, new TextEncoder().encode(JSON.stringify(json)))
}

/** distribution-spec, "Error Codes" */
export function refuse(visit: Visit, refusal: Refusal): void {
  const body = JSON.stringify({ errors: [{ code: refusal.code, message: refusal.message }] })
  answer(visit, refusal.status, { 'content-type': 'application/json', ...refusal.headers }, new TextEncoder().encode(body))
}

export function incoming(visit: Visit): Incoming {
  const { request, arrived } = visit
  return {
    read: (take) => readBody(request, arrived === undefined ? take : told(arrived, take)),
    cut: () => request.destroy(),
  }
}

function told(arrived: (bytes: number) => Promise<void> | undefined, take: Take): Take {
  let bytes = 0
  return (chunk) => {
    bytes += chunk.length
    const allowed = arrived(bytes)
    return allowed === undefined ? take(chunk) : allowed.then(() => take(chunk))
  }
}

/**
 * Hands over what comes, in pieces of 16 KiB: too small and too many for a promise each, as a loop over the request would make. The
 * request itself stays whole when taking throws, and the answer with it.
 */
function readBody(request: IncomingMessage, take: Take): Promise<void> {
  if (request.readableEnded) return Promise.resolve()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let over = false
  let taking: Promise<void> | undefined
  const stop = (settle: () => void): void => {
    if (over) return
    over = true
    request.off('data', onData).off('end', onEnd).off('close', onClose).pause()
    // Who still takes the last piece is not left behind.
    if (taking === undefined) settle()
    else taking.then(settle, reject)
  }
  const onData = (chunk: Uint8Array): void => {
    try {
      const busy = take(chunk)
      if (busy === undefined) return
      taking = busy
      request.pause()
      busy.then(
        () => {
          taking = undefined
          if (!over) request.resume()
        },
        (error: unknown) => stop(() => reject(error)),
      )
    } catch (error) {
      stop(() => reject(error))
    }
  }
  const onEnd = (): void => stop(resolve)
  const onClose = (): void => stop(() => reject(request.errored ?? new Error('the request broke off')))
  if (request.destroyed) onClose()
  else request.on('data', onData).once('end', onEnd).once('close', onClose).resume()
  return promise
}

/** A request's body in memory. @throws Refusal SIZE_INVALID (413) */
export async function readRequest(visit: Visit, limit: number): Promise<Uint8Array> {
  const tooLarge = (): Refusal => new Refusal(413, 'SIZE_INVALID', `at most ${limit} bytes are taken here`)
  if (Number(visit.request.headers['content-length'] ?? 0) > limit) throw tooLarge()
  const chunks: Uint8Array[] = []
  let size = 0
  await incoming(visit).read((chunk) => {
    size += chunk.length
    if (size > limit) throw tooLarge()
    chunks.push(chunk)
    return undefined
  })
  return Buffer.concat(chunks)
}

export function methodNotAllowed(allowed: string): Refusal {
  return new Refusal(405, 'UNSUPPORTED', `only ${allowed} here`, { allow: allowed })
}

/** One page of a sorted list: `n` at most, after `last` (distribution-spec, "Listing Tags"). */
export function page(
  query: URLSearchParams,
  names: readonly string[],
  order: (a: string, b: string) => number,
): { names: string[]; next: URLSearchParams | undefined } {
  const asked = query.get('n')
  if (asked !== null && !/^[0-9]{1,9}$/.test(asked)) throw new Refusal(400, 'UNSUPPORTED', 'n must be a number')
  const n = Math.min(asked === null ? maximumPage : Number(asked), maximumPage)
  const last = query.get('last')
  const after = last === null ? names : names.filter((name) => order(name, last) > 0)
  const shown = after.slice(0, n)
  const end = shown.at(-1)
  const next = end === undefined || shown.length === after.length ? undefined : new URLSearchParams({ n: String(n), last: end })
  return { names: shown, next }
}

const maximumPage = 10_000

export function linkHeader(path: string, next: URLSearchParams | undefined): OutgoingHttpHeaders {
  return next === undefined ? {} : { link: `<${path}?${next}>; rel="next"` }
}
