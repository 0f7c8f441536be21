import { type Authority, issueCertificate, PkiError, readRequest } from '@muster/pki'
import { ApiError } from './errors.ts'
import { spiffeId } from './identity.ts'

export interface IdentityIssuer {
  readonly authority: Authority
  readonly trustDomain: string
  /** How long an identity is valid. Agents renew it long before. */
  readonly days: number
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

/** Issues the identity of a cluster: a client certificate with its SPIFFE id and nothing that the request asked for. */
export async function issueIdentity(issuer: IdentityIssuer, cluster: string, publicKey: string, now: Date): Promise<string> {
  const { authority, trustDomain, days } = issuer
  const { certificate } = await issueCertificate(
    authority,
    { commonName: cluster, uris: [spiffeId(trustDomain, cluster)], usages: ['client'], days, now },
    publicKey,
  )
  return certificate
}
