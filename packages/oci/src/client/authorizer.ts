import { OciError } from '../errors.ts'
import { type Challenge, parseChallenges } from './challenge.ts'

export interface Credentials {
  readonly username: string
  readonly password: string
  /** Used instead of the password where the registry has a token service (OAuth2 refresh token, "docker login" by browser). */
  readonly identityToken?: string
}

/** Fetches a token: GET `url` with these headers, or POST `form`; the body, at most some KiB, as text. */
export type FetchToken = (
  request: { readonly url: URL; readonly headers: Record<string, string>; readonly form?: URLSearchParams },
  signal: AbortSignal | undefined,
) => Promise<string>

interface Token {
  readonly header: string
  readonly expiresMs: number
}

/**
 * Answers a registry's challenges: Basic, and the token flow of Docker registries (distribution "Token Authentication
 * Specification"). Credentials are sent only after the registry asked for them: as Basic to the registry itself, or to the token
 * service that it names, which must be HTTPS unless the registry itself is plain HTTP.
 */
export class Authorizer {
  readonly #host: string
  readonly #credentials: Credentials | undefined
  readonly #plainHttp: boolean
  readonly #fetchToken: FetchToken
  readonly #now: () => number
  readonly #tokens = new Map<string, Token>()
  #basic = false

  constructor(options: {
    host: string
    credentials: Credentials | undefined
    plainHttp: boolean
    fetchToken: FetchToken
    now: () => number
  }) {
    this.#host = options.host
    this.#credentials = options.credentials
    this.#plainHttp = options.plainHttp
    this.#fetchToken = options.fetchToken
    this.#now = options.now
  }

  /** The Authorization header known so far for this scope. */
  header(scope: string): string | undefined {
    if (this.#basic && this.#credentials !== undefined) return basic(this.#credentials)
    const token = this.#tokens.get(scope)
    return token !== undefined && token.expiresMs > this.#now() ? token.header : undefined
  }

  /**
   * Takes a 401 in. Returns whether another try can succeed; `sent` is the header that was refused.
   * @throws OciError when the token service fails
   */
  async challenged(headers: readonly string[], scope: string, sent: string | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    const challenges = headers.flatMap(parseChallenges)
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer' && challenge.parameters.has('realm'))
    if (bearer !== undefined) {
      // A token that was just fetched and is refused will not get better.
      const cached = this.#tokens.get(scope)
      if (sent !== undefined && cached?.header !== sent && sent.startsWith('Bearer ')) return true
      this.#tokens.delete(scope)
      this.#tokens.set(scope, await this.#token(bearer, scope, signal))
      return true
    }
    if (!challenges.some((challenge) => challenge.scheme === 'basic')) return false
    if (this.#credentials === undefined || this.#credentials.identityToken !== undefined) return false
    this.#basic = true
    return sent !== basic(this.#credentials)
  }

  async #token(challenge: Challenge, scope: string, signal: AbortSignal | undefined): Promise<Token> {
    const realm = challenge.parameters.get('realm') ?? ''
    const url = URL.canParse(realm) ? new URL(realm) : undefined
    if (url === undefined || url.username !== '' || !(url.protocol === 'https:' || (url.protocol === 'http:' && this.#plainHttp))) {
      throw new OciError('BadResponse', `${this.#host} names "${realm.slice(0, 200)}" as its token service, which is not an https address.`)
    }
    const service = challenge.parameters.get('service')
    if (service !== undefined) url.searchParams.set('service', service)
    const scopes = new Set([...scope.split(' '), ...(challenge.parameters.get('scope') ?? '').split(' ')].filter((part) => part !== ''))
    const { token, seconds } = readToken(await this.#fetchToken(this.#tokenRequest(url, [...scopes]), signal), url)
    // A little early: the token must still be good when it arrives.
    return { header: `Bearer ${token}`, expiresMs: this.#now() + Math.max(1, seconds * 0.9) * 1000 }
  }

  #tokenRequest(url: URL, scopes: readonly string[]): Parameters<FetchToken>[0] {
    const { identityToken } = this.#credentials ?? {}
    if (identityToken !== undefined) {
      // Distribution, "Authenticate with OAuth2": the token goes in the body, never in the address.
      const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'muster', refresh_token: identityToken })
      form.set('service', url.searchParams.get('service') ?? this.#host)
      form.set('scope', scopes.join(' '))
      return { url, headers: {}, form }
    }
    for (const part of scopes) url.searchParams.append('scope', part)
    return { url, headers: this.#credentials === undefined ? {} : { authorization: basic(this.#credentials) } }
  }
}

function readToken(text: string, url: URL): { token: string; seconds: number } {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new OciError('BadResponse', `The token service ${url.origin} did not answer in JSON.`, { cause })
  }
  const answer: Record<string, unknown> = typeof json === 'object' && json !== null ? { ...json } : {}
  const token = answer['token'] ?? answer['access_token']
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new OciError('BadResponse', `The token service ${url.origin} answered without a token.`)
  const seconds = answer['expires_in']
  return { token, seconds: typeof seconds === 'number' && seconds > 0 && Number.isFinite(seconds) ? seconds : 60 }
}

function basic(credentials: Credentials): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`, 'utf8').toString('base64')}`
}
