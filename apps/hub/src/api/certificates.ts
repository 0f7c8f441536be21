import type { Cluster } from '@muster/api'
import { type Authority, issueCertificate, PkiError, readRequest } from '@muster/pki'
import { ApiError } from './errors.ts'
import { spiffeId } from './identity.ts'

export interface IdentityIssuer {
  readonly authority: Authority
  readonly trustDomain: string
  /** How long an identity is valid. Agents renew it long before. */
  readonly days: number
  /** Certificates (PEM) that identities may chain to, `authority` among them. What agents are told to trust the hub by. */
  readonly trusted: string
  /** How long after its end an identity can still be renewed, in milliseconds. */
  readonly renewGraceMs: number
}

/**
 * The public key of a request whose sender proved to hold the private half.
 * @throws ApiError `RequestRefused`
 */
export async function publicKeyOfRequest(csr: string): Promise<string> {
  try {
    return (await readRequest(csr)).publicKey
  } catch (error) {
    if (error instanceof PkiError) throw new ApiError('RequestRefused', error.message, { cause: error })
    throw error
  }
}

/**
 * Issues the identity of a cluster: a client certificate with its SPIFFE id and nothing that the request asked for. Its organization
 * says which joining it comes from, so that a later one ends it.
 */
export async function issueIdentity(issuer: IdentityIssuer, { metadata, spec }: Cluster, publicKey: string, now: Date): Promise<string> {
  const { authority, trustDomain, days } = issuer
  const cluster = metadata.name
  const { certificate } = await issueCertificate(
    authority,
    {
      commonName: cluster,
      ...(spec.identity === undefined ? {} : { organizations: [spec.identity] }),
      uris: [spiffeId(trustDomain, cluster)],
      usages: ['client'],
      days,
      now,
    },
    publicKey,
  )
  return certificate
}
