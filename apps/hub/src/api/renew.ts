import * as z from 'zod'
import type { ClusterStore } from '../cluster-store.ts'
import type { Log } from '../log.ts'
import { type IdentityIssuer, issueIdentity, publicKeyOfRequest } from './certificates.ts'
import { ApiError } from './errors.ts'
import { demandIdentity } from './identity.ts'
import type { Route } from './router.ts'

export interface RenewOptions {
  readonly clusters: ClusterStore
  readonly issuer: IdentityIssuer
  readonly now: () => Date
  readonly log: Log
}

const bodySchema = z.object({ csr: z.string().max(16_384) })

/** `POST /v1/clusters/{name}/renew`: a new identity for who holds the present one, while the hub still knows the cluster. */
export function renewRoute({ clusters, issuer, now, log }: RenewOptions): Route {
  return {
    method: 'POST',
    path: '/v1/clusters/:name/renew',
    maxBodyBytes: 64 * 1024,
    handle: async ({ message, params, json, signal }) => {
      const cluster = params['name'] ?? ''
      demandIdentity(message, { cluster, trustDomain: issuer.trustDomain, now: now() })
      const body = bodySchema.safeParse(await json())
      if (!body.success) throw new ApiError('BadRequest', 'The renewal is malformed: it needs a "csr".')
      const publicKey = await publicKeyOfRequest(body.data.csr)
      await clusters.demand(cluster, signal)
      const certificate = await issueIdentity(issuer, cluster, publicKey, now())
      log.info({ cluster }, 'renewed the identity of a cluster')
      return { status: 200, body: { certificate } }
    },
  }
}
