import type { Agent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { createSecureContext, type SecureContext } from 'node:tls'
import { once } from '../artifact.ts'
import { OciError, type OciErrorCode } from '../errors.ts'
import { Authorizer, type Credentials, type FetchToken } from './authorizer.ts'
import { bulkExchange } from './bulk.ts'
import { type Answer, type Body, ContentFailure, describe, exchange } from './exchange.ts'
import { Pace, type RateLimits } from './pace.ts'
import { parseRetryAfter, Retries, type RetryPolicy } from './retry.ts'

// As an import, node:http brings a web socket client along: 8 MiB in each process.
const { Agent: HttpAgent } = process.getBuiltinModule('node:http')

export interface TransportOptions {
  readonly host: string
  readonly ca?: string | undefined
  readonly credentials?: Credentials | undefined
  readonly plainHttp: boolean
  readonly userAgent: string
  readonly timeoutMs: number
  readonly retry: RetryPolicy
  readonly limits: RateLimits
  readonly uploads?: UploadMemory | undefined
  readonly random: () => number
  readonly now: () => number
}

export interface Call {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE'
  /** A path on the registry, or the absolute address that it gave. */
  readonly to: string | URL
  /** Token scope, such as `repository:team/app:pull`. */
  readonly scope: string
  /** Statuses that are answers; any other is thrown as an OciError. */
  readonly accept: readonly number[]
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body
  /** The answer is long, and whoever reads it is done with a chunk when it asks for the next. */
  readonly bulk?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

const maximumRedirects = 5
const errorBytes = 64 * 1024

/** Remembers where uploads that were begun go on, also after the process ended. Keys name a blob in a repository of a registry. */
export interface UploadMemory {
  recall(key: string): Promise<string | undefined>
  remember(key: string, location: string): Promise<void>
  forget(key: string): Promise<void>
}

/** HTTP to one registry: its CA, credentials, redirects, errors and retries. */
export class Transport {
  readonly origin: URL
  readonly options: TransportOptions
  readonly #authorizer: Authorizer
  readonly #pace: Pace
  readonly #own: Agent | HttpsAgent
  readonly #secureContext: SecureContext | undefined
  /** For other hosts, which the registry's own CA says nothing about. */
  readonly #otherHttps: HttpsAgent
  readonly #otherHttp: Agent

  constructor(options: TransportOptions) {
    this.options = options
    this.#pace = new Pace(options.limits, options.now)
    const host = options.host === 'docker.io' ? 'registry-1.docker.io' : options.host
    this.origin = new URL(`${options.plainHttp ? 'http' : 'https'}://${host}`)
    // A burst of calls is answered by the connections of the one before: each new one costs both sides a handshake.
    const pool = { keepAlive: true, maxSockets: 16, maxFreeSockets: 16 }
    this.#otherHttps = new HttpsAgent(pool)
    this.#otherHttp = new HttpAgent(pool)
    // Once: a system's certificates are more than a hundred, and take 15 ms to read.
    this.#secureContext = options.ca === undefined ? undefined : createSecureContext({ ca: options.ca })
    this.#own = options.plainHttp
      ? new HttpAgent(pool)
      : new HttpsAgent({ ...pool, ...(this.#secureContext === undefined ? {} : { secureContext: this.#secureContext }) })
    this.#authorizer = new Authorizer({
      host: options.host,
      credentials: options.credentials,
      plainHttp: options.plainHttp,
      fetchToken: (request, signal) => this.#fetchToken(request, signal),
      now: options.now,
    })
  }

  close(): void {
    for (const agent of [this.#own, this.#otherHttps, this.#otherHttp]) agent.destroy()
  }

  retries(signal: AbortSignal | undefined): Retries {
    return new Retries(this.options.retry, this.options.random, signal)
  }

  /** Sends a call that may be repeated, and reads its answer; both are retried together. */
  async call<T>(call: Call, read: (answer: Answer) => Promise<T> | T): Promise<T> {
    const retries = this.retries(call.signal)
    for (;;) {
      try {
        return await read(await this.once(call))
      } catch (error) {
        await retries.failed(error)
      }
    }
  }

  /** Sends a call once: answers a challenge, follows redirects of reads, throws OciError for any status not accepted. */
  async once(call: Call): Promise<Answer> {
    const url = typeof call.to === 'string' ? new URL(call.to, this.origin) : call.to
    try {
      const answer = await this.#authorized(call, url)
      if (call.accept.includes(answer.status)) return answer
      throw await this.#failure(call, answer)
    } catch (error) {
      // What the caller's own content threw goes back as it was, and is never retried here.
      if (error instanceof ContentFailure) throw error.cause
      throw error
    }
  }

  async #authorized(call: Call, url: URL): Promise<Answer> {
    for (let tries = 0; ; tries += 1) {
      const sent = url.origin === this.origin.origin ? this.#authorizer.header(call.scope) : undefined
      const answer = await this.#redirected(call, url, sent)
      if (answer.status !== 401 || answer.url.origin !== this.origin.origin || tries >= 2) return answer
      const challenges = answer.headers['www-authenticate']
      const again = await this.#authorizer.challenged(challenges === undefined ? [] : [challenges], call.scope, sent, call.signal)
      if (!again) return answer
      answer.discard()
    }
  }

  async #redirected(call: Call, start: URL, authorization: string | undefined): Promise<Answer> {
    let url = start
    for (let redirects = 0; ; redirects += 1) {
      const own = url.origin === this.origin.origin
      this.#checkScheme(url, call.method)
      await this.#pace.request(call.signal)
      const { body } = call
      const outgoing = {
        method: call.method,
        url,
        headers: {
          'user-agent': this.options.userAgent,
          ...call.headers,
          ...(own && authorization !== undefined ? { authorization } : {}),
        },
        body: body === undefined ? undefined : { length: body.length, open: () => this.#pace.bytes(body.open(), call.signal) },
        agent: this.#agent(url),
        timeoutMs: this.options.timeoutMs,
        signal: call.signal,
      }
      const answer =
        (call.bulk === true ? await bulkExchange(outgoing, own ? this.#secureContext : undefined) : undefined) ?? (await exchange(outgoing))
      const { location } = answer.headers
      const readOnly = call.method === 'GET' || call.method === 'HEAD'
      if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined || !readOnly)
        return { ...answer, body: this.#pace.bytes(answer.body, call.signal) }
      answer.discard()
      if (redirects >= maximumRedirects || !URL.canParse(location, url.href)) {
        throw new OciError(
          'BadResponse',
          `${describe({ method: call.method, url })} redirects more than ${maximumRedirects} times or to no address.`,
        )
      }
      url = new URL(location, url)
    }
  }

  #checkScheme(url: URL, method: string): void {
    if (url.protocol === 'https:' || (url.protocol === 'http:' && this.options.plainHttp)) return
    throw new OciError(
      'BadResponse',
      `${this.options.host} sends ${method} on to ${url.origin}, which is not https. Nothing was sent there.`,
    )
  }

  #agent(url: URL): Agent | HttpsAgent {
    if (url.origin === this.origin.origin) return this.#own
    return url.protocol === 'https:' ? this.#otherHttps : this.#otherHttp
  }

  async #fetchToken({ url, headers, form }: Parameters<FetchToken>[0], signal: AbortSignal | undefined): Promise<string> {
    const sent = form === undefined ? undefined : new TextEncoder().encode(form.toString())
    const outgoing = {
      method: sent === undefined ? 'GET' : 'POST',
      url,
      headers: {
        'user-agent': this.options.userAgent,
        ...headers,
        ...(sent === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
      body: sent === undefined ? undefined : { length: sent.length, open: () => once(sent) },
      agent: this.#agent(url),
      timeoutMs: this.options.timeoutMs,
      signal,
    }
    const answer = await exchange(outgoing)
    if (answer.status !== 200) throw await this.#failure(outgoing, answer)
    return new TextDecoder().decode(await readAll(answer, errorBytes))
  }

  async #failure(call: { readonly method: string }, answer: Answer): Promise<OciError> {
    const { status, headers } = answer
    const said = await readErrors(answer)
    const code = errorCode(status, said.codes)
    const what = `${describe({ method: call.method, url: answer.url })} was answered ${status}${said.text === '' ? '' : ` (${said.text})`}.`
    const retryAfterMs = parseRetryAfter(headers['retry-after'], this.options.now())
    // Whoever else asks this registry waits too: it is the registry that is busy, not one request.
    if (retryAfterMs !== undefined && retryAfterMs <= this.options.retry.maximumMs) this.#pace.hold(retryAfterMs)
    return new OciError(code, `${what} ${advice[code] ?? ''}`.trimEnd(), { status, retryAfterMs })
  }
}

const advice: Partial<Record<OciErrorCode, string>> = {
  Unauthorized: 'Check the user name and password for this registry.',
  Denied: 'This user may not do that here; ask for access.',
  NotFound: 'Check the name, or push it first.',
  TooManyRequests: 'Try again later.',
  ServerError: 'Look at the log of the registry.',
  TooLarge: 'Make it smaller, or raise the limit of the registry.',
}

function errorCode(status: number, codes: readonly string[]): OciErrorCode {
  if (codes.includes('DIGEST_INVALID')) return 'DigestMismatch'
  if (status === 401) return 'Unauthorized'
  if (status === 403) return 'Denied'
  if (status === 404) return 'NotFound'
  if (status === 408) return 'Timeout'
  if (status === 413) return 'TooLarge'
  if (status === 429) return 'TooManyRequests'
  if (status === 405 || status === 415) return 'Unsupported'
  if (status >= 500) return 'ServerError'
  if (status >= 400) return 'Rejected'
  return 'BadResponse'
}

/** The registry's own words, cut short and without control characters (distribution-spec, "Error Codes"). */
async function readErrors(answer: Answer): Promise<{ codes: string[]; text: string }> {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder().decode(await readAll(answer, errorBytes)))
  } catch {
    // Not an error document, or cut off: the status says enough.
    return { codes: [], text: '' }
  }
  const errors: unknown = typeof json === 'object' && json !== null && 'errors' in json ? json.errors : undefined
  const entries = (Array.isArray(errors) ? errors.slice(0, 5) : []).map((entry: unknown) => ({
    code: typeof entry === 'object' && entry !== null && 'code' in entry ? String(entry.code) : '',
    message: typeof entry === 'object' && entry !== null && 'message' in entry ? String(entry.message) : '',
  }))
  const text = entries.map(({ code, message }) => [code, message].filter((part) => part !== '').join(': ')).join('; ')
  return { codes: entries.map(({ code }) => code), text: text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 300) }
}

/** A body in memory. @throws OciError `TooLarge` past `limit` bytes */
export async function readAll(answer: Answer, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of answer.body) {
    size += chunk.length
    if (size > limit) throw new OciError('TooLarge', `The answer of ${answer.url.host} to ${answer.url.pathname} is over ${limit} bytes.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}
