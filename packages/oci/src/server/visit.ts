import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Refusal } from './refusal.ts'
import type { Incoming } from './uploads.ts'

/** One request being answered. */
export interface Visit {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly method: string
  readonly query: URLSearchParams
  /** Told how many bytes of the body have come, before the last of them are used; throwing refuses the rest. */
  readonly arrived?: ((bytes: number) => Promise<void>) | undefined
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
  // A loop that throws would destroy the request, and the answer with it.
  const content = visit.request.iterator({ destroyOnReturn: false })
  return { content: visit.arrived === undefined ? content : told(content, visit.arrived), cut: () => visit.request.destroy() }
}

async function* told(content: AsyncIterable<Uint8Array>, arrived: (bytes: number) => Promise<void>): AsyncGenerator<Uint8Array> {
  let bytes = 0
  for await (const chunk of content) {
    bytes += chunk.length
    await arrived(bytes)
    yield chunk
  }
}

/** A request's body in memory. @throws Refusal SIZE_INVALID (413) */
export async function readRequest(visit: Visit, limit: number): Promise<Uint8Array> {
  const tooLarge = (): Refusal => new Refusal(413, 'SIZE_INVALID', `at most ${limit} bytes are taken here`)
  if (Number(visit.request.headers['content-length'] ?? 0) > limit) throw tooLarge()
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of incoming(visit).content) {
    size += chunk.length
    if (size > limit) throw tooLarge()
    chunks.push(chunk)
  }
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
