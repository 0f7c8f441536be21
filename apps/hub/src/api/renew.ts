import * as z from 'zod'
import { channelRepository } from '../channel/channels.ts'
import type { ClusterStore } from '../cluster-store.ts'
import type { Log } from '../log.ts'
import { type IdentityIssuer, issueIdentity, publicKeyOfRequest } from './certificates.ts'
import { ApiError } from './errors.ts'
import { demandIdentity, demandNotRevoked, readAuthorities } from './identity.ts'
import type { RegistryAccessOf } from './join.ts'
import type { Route } from './router.ts'

export interface RenewOptions {
  readonly clusters: ClusterStore
  readonly issuer: IdentityIssuer
  readonly registryOf: RegistryAccessOf
  readonly now: () => Date
  readonly log: Log
}

const bodySchema = z.object({ csr: z.string().max(16_384) })

/**
 * `POST /v1/clusters/{name}/renew`: a new identity for who holds the present one, while the hub still knows the cluster. The one
 * thing for which an identity that has ended is taken, within a bounded time (docs/adr/0009). The answer brings all that may have
 * changed since the cluster joined: authorities and the way to the registry.
 */
export function renewRoute({ clusters, issuer, registryOf, now, log }: RenewOptions): Route {
  const authorities = readAuthorities(issuer.trusted)
  return {
    method: 'POST',
    path: '/v1/clusters/:name/renew',
    maxBodyBytes: 64 * 1024,
    handle: async ({ message, params, json, signal }) => {
      const cluster = params['name'] ?? ''
      const rules = { cluster, trustDomain: issuer.trustDomain, now: now(), authorities, graceMs: issuer.renewGraceMs }
      const proven = demandIdentity(message, rules)
      const known = await clusters.demand(cluster, signal)
      demandNotRevoked(known, proven)
      const body = bodySchema.safeParse(await json())
      if (!body.success) throw new ApiError('BadRequest', 'The renewal is malformed: it needs a "csr".')
      const publicKey = await publicKeyOfRequest(body.data.csr)
      const registry = await registryOf(cluster, signal)
      const certificate = await issueIdentity(issuer, known, publicKey, now())
      log.info({ cluster }, proven.expired ? 'took back a cluster whose identity had ended' : 'renewed the identity of a cluster')
      return { status: 200, body: { certificate, hubCa: issuer.trusted, registry, channelRepository: channelRepository(cluster) } }
    },
  }
}
