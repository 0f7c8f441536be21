import { request as requestTls } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import { TrustError } from '../errors.ts'
import { shown } from './identity.ts'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { request: requestPlain } = process.getBuiltinModule('node:http')

export interface ServiceOptions {
  readonly signal?: AbortSignal | undefined
  /** Certificates (PEM) of the authorities that the service's own TLS certificate may be by. Default: the system's. */
  readonly ca?: string | undefined
  /** For one attempt. */
  readonly timeoutMs?: number | undefined
}

export interface ServiceRequest {
  readonly method: 'GET' | 'POST'
  readonly url: URL
  readonly contentType?: string
  readonly accept: string
  readonly body?: Uint8Array
  /** A longer answer is not read. */
  readonly limit: number
  /** Statuses beside 2xx that are answers. */
  readonly alsoAccept?: readonly number[]
}

export interface ServiceAnswer {
  readonly status: number
  readonly location?: string | undefined
  readonly body: Buffer
}

const defaultTimeoutMs = 20_000
/** A service that is starting or busy gets some seconds. */
const pausesMs = [250, 1000, 3000] as const
const shownBytes = 300

/**
 * Asks a service that signing needs. Redirects are not followed: what is sent may be a secret.
 * @throws TrustError `ServiceUnreachable` (may pass), `ServiceRefused`
 */
export async function askService(what: string, request: ServiceRequest, options: ServiceOptions): Promise<ServiceAnswer> {
  for (const wait of [...pausesMs, undefined]) {
    const outcome = await attempt(what, request, options)
    if (!(outcome instanceof TrustError)) return outcome
    if (!outcome.transient || wait === undefined) throw outcome
    await pause(wait, undefined, { signal: options.signal })
  }
  throw new TrustError('ServiceUnreachable', `${what} does not answer.`)
}

/** @throws TrustError `ServiceRefused` where it is no http or https address */
export function serviceUrl(what: string, base: string, path: string): URL {
  const url = URL.parse(base)
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.username !== '' || url.password !== '')
    throw new TrustError('ServiceRefused', `${shown(base)} is no address of ${what}: give https://HOST[:PORT][/PATH].`)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}${path}`
  return url
}

/** Whether what is sent there may be read by others on the way. */
export function isOpenToOthers(url: URL): boolean {
  return url.protocol !== 'https:' && !/^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(url.hostname)
}

async function attempt(what: string, request: ServiceRequest, options: ServiceOptions): Promise<ServiceAnswer | TrustError> {
  options.signal?.throwIfAborted()
  const deadline = AbortSignal.timeout(options.timeoutMs ?? defaultTimeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, deadline]) : deadline
  let answer: ServiceAnswer
  try {
    answer = await exchange(request, options.ca, signal)
  } catch (cause) {
    options.signal?.throwIfAborted()
    if (cause instanceof TrustError) return cause
    return new TrustError(
      'ServiceUnreachable',
      `${what} at ${request.url.host} does not answer: check that it runs, and its certificate.`,
      cause,
    )
  }
  const { status } = answer
  if ((status >= 200 && status < 300) || request.alsoAccept?.includes(status)) return answer
  const said = shown(answer.body.subarray(0, shownBytes).toString('utf8').trim())
  if (status === 429 || status >= 500)
    return new TrustError('ServiceUnreachable', `${what} at ${request.url.host} answers ${status}, which may pass: ${said}.`)
  return new TrustError('ServiceRefused', `${what} at ${request.url.host} refused with ${status}: ${said}.`)
}

function exchange({ method, url, contentType, accept, body, limit }: ServiceRequest, ca: string | undefined, signal: AbortSignal) {
  return new Promise<ServiceAnswer>((resolve, reject) => {
    const headers = {
      accept,
      'user-agent': 'muster',
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
      ...(body ? { 'content-length': body.length } : {}),
    }
    const options = { method, headers, signal, ...(ca === undefined ? {} : { ca }) }
    const outgoing = (url.protocol === 'https:' ? requestTls : requestPlain)(url, options, (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= limit) chunks.push(chunk)
        else response.destroy(new TrustError('ServiceRefused', `The answer of ${url.host} is larger than ${limit} bytes.`))
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, location: response.headers.location, body: Buffer.concat(chunks) }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
