import type { Action } from './scopes.ts'
import { allows } from './scopes.ts'
import { Tokens } from './tokens.ts'
import type { KnownUser, Users } from './users.ts'

/** Who asks, and what he may do. */
export interface Principal {
  /** `writer` for a user, `token ci` for a token. */
  readonly name: string
  /** May do it to every repository. */
  readonly everywhere: (action: Action) => boolean
  readonly may: (action: Action, repository: string) => boolean
  /** Keeps the registry: tokens, retention, mirrors, usage, audit. */
  readonly admin: boolean
  readonly metrics: boolean
}

/**
 * Who an `Authorization` header says is asking: a user by Basic (RFC 7617); a token as the password of Basic under any name, which
 * is what every client of registries can send, or as a Bearer (RFC 6750).
 */
export function authenticate(authorization: string | undefined, users: Users, tokens: Tokens): Principal | undefined {
  const bearer = /^bearer +(\S{1,512}) *$/i.exec(authorization ?? '')?.[1]
  if (bearer !== undefined) return ofToken(tokens, bearer)
  const given = basic(authorization)
  if (given === undefined) return undefined
  if (Tokens.looksLike(given.password)) return ofToken(tokens, given.password)
  const user = users.authenticate(given)
  return user && ofUser(user)
}

function basic(authorization: string | undefined): { username: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(authorization ?? '')?.[1]
  const text = encoded === undefined ? '' : Buffer.from(encoded, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function ofUser({ name, access }: KnownUser): Principal {
  const everywhere = (action: Action): boolean => action === 'pull' || access !== 'read'
  return { name, everywhere, may: everywhere, admin: access === 'admin', metrics: true }
}

function ofToken(tokens: Tokens, text: string): Principal | undefined {
  const found = tokens.authenticate(text)
  if (found === undefined) return undefined
  const { name, scopes } = found
  return {
    name: `token ${name}`,
    everywhere: (action) => scopes.some((scope) => scope.kind === 'repository' && scope.pattern === '**' && scope.actions.includes(action)),
    may: (action, repository) => allows(scopes, action, repository),
    admin: false,
    metrics: scopes.some((scope) => scope.kind === 'metrics'),
  }
}
