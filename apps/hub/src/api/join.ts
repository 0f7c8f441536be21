import { nameSchema } from '@muster/api'
import * as z from 'zod'
import { channelRepository } from '../channel/channels.ts'
import type { ClusterStore } from '../cluster-store.ts'
import { errorFields, type Log } from '../log.ts'
import { type IdentityIssuer, issueIdentity, publicKeyOfRequest } from './certificates.ts'
import { ApiError } from './errors.ts'
import { RateLimit } from './rate-limit.ts'
import type { Route } from './router.ts'
import { type FoundToken, type JoinTokens, tokenHash, tokenUsed } from './tokens.ts'

/** How a cluster reads from the registry. */
export interface RegistryAccess {
  readonly host: string
  /** PEM */
  readonly ca: string
  readonly username: string
  readonly password: string
}

/** How one cluster does: with its own token where there is one. @throws KubeError */
export type RegistryAccessOf = (cluster: string, signal: AbortSignal) => Promise<RegistryAccess>

export interface JoinOptions {
  readonly tokens: JoinTokens
  readonly clusters: ClusterStore
  readonly issuer: IdentityIssuer
  readonly registryOf: RegistryAccessOf
  readonly now: () => Date
  /** Milliseconds on a clock that never goes back. */
  readonly monotonicMs: () => number
  readonly log: Log
}

const bodySchema = z.object({
  cluster: nameSchema,
  token: z.string().min(16).max(512),
  csr: z.string().max(16_384),
  agentVersion: z.string().max(128),
})

const maxBodyBytes = 64 * 1024
/** Joins by one address, and by all: behind a NodePort many clusters may share one. A token has 256 bits, so this only bounds load. */
const perAddress = { burst: 20, refillMs: 500 }
const overall = { burst: 200, refillMs: 20 }
const maxAddresses = 4096

/**
 * `POST /v1/join`: a one-time token and a certificate request for an identity. The token is checked, then all that could still
 * fail, then it is used up, and only then the identity is issued: one token never makes two.
 */
export function joinRoute(options: JoinOptions): Route {
  const { tokens, clusters, issuer, registryOf, now, monotonicMs, log } = options
  const addresses = new RateLimit(perAddress, maxAddresses)
  const everybody = new RateLimit(overall, 1)
  return {
    method: 'POST',
    path: '/v1/join',
    maxBodyBytes,
    handle: async ({ message, json, signal }) => {
      const at = monotonicMs()
      const waitMs = addresses.take(message.socket.remoteAddress ?? '', at) || everybody.take('', at)
      if (waitMs > 0)
        throw new ApiError('TooManyRequests', 'Too many joins at once. Try again later.', { retryAfterSeconds: Math.ceil(waitMs / 1000) })
      const body = bodySchema.safeParse(await json())
      if (!body.success) throw new ApiError('BadRequest', `The join request is malformed: ${z.prettifyError(body.error).slice(0, 500)}`)
      const { cluster, token, csr, agentVersion } = body.data
      const found = await tokens
        .check(cluster, token, now(), signal)
        .catch((error: unknown) => whyRefused(error, options, body.data, signal))
      const publicKey = await publicKeyOfRequest(csr)
      const known = await clusters.demand(cluster, signal)
      const registry = await registryOf(cluster, signal)
      await tokens.use(found, signal)
      const certificate = await issueIdentity(issuer, known, publicKey, now())
      log.info({ cluster, agentVersion }, 'a cluster joined')
      try {
        await clusters.markJoined(cluster, tokenHash(token), now(), signal)
      } catch (error) {
        // The token is used up: the agent must get its identity. When it joined is only for people to see.
        log.warn({ cluster, ...errorFields(error) }, 'could not note that a cluster joined')
      }
      return { status: 200, body: { certificate, hubCa: issuer.trusted, registry, channelRepository: channelRepository(cluster) } }
    },
  }
}

/** A token that is not there may have been used: who shows it held it, and is told. */
async function whyRefused(
  error: unknown,
  { clusters }: JoinOptions,
  { cluster, token }: { readonly cluster: string; readonly token: string },
  signal: AbortSignal,
): Promise<FoundToken> {
  if (!(error instanceof ApiError) || error.code !== 'TokenRefused') throw error
  const known = await clusters.demand(cluster, signal).catch(() => undefined)
  if (known?.status?.usedToken === tokenHash(token)) throw tokenUsed(cluster)
  throw error
}
