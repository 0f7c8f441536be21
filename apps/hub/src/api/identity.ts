import { X509Certificate } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import type { Cluster } from '@muster/api'
import { certificateInfo } from '@muster/pki'
import { ApiError } from './errors.ts'

/** Extended key usage of a client (RFC 5280, 4.2.1.12). */
const clientAuthentication = '1.3.6.1.5.5.7.3.2'

/** The SPIFFE id of a cluster (SPIFFE-ID standard, 2). */
export function spiffeId(trustDomain: string, cluster: string): string {
  return `spiffe://${trustDomain}/cluster/${cluster}`
}

/** Splits a bundle of certificates (PEM) and reads each. Throws what node's parser throws. */
export function readAuthorities(bundle: string): X509Certificate[] {
  return (bundle.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []).map((pem) => new X509Certificate(pem))
}

export interface IdentityRules {
  readonly cluster: string
  readonly trustDomain: string
  readonly now: Date
  /** Any of these may have issued it: during a change of the authority the old one and the new one. */
  readonly authorities: readonly X509Certificate[]
  /** How long after its end a certificate still counts, in milliseconds. Default: not at all. */
  readonly graceMs?: number
}

/** A certificate of a cluster that was found good. */
export interface ProvenIdentity {
  /** Which joining it comes from; see `spec.identity` of Cluster. */
  readonly identity: string | undefined
  readonly expired: boolean
}

/**
 * Demands that a request comes from the agent of `cluster`: that its certificate was issued by the hub's authority for a client, is
 * valid now and names this cluster and no other. That the sender has the key, the handshake has proved, whatever the certificate's
 * time (RFC 8446, 4.4.3); everything else is checked here, so that time is the only thing that `graceMs` can excuse.
 * @throws ApiError `IdentityMissing`, `IdentityMismatch`, `IdentityExpired`
 */
export function demandIdentity(message: IncomingMessage, rules: IdentityRules): ProvenIdentity {
  const { cluster, trustDomain, now, authorities, graceMs = 0 } = rules
  const { socket } = message
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined
  if (!certificate || !isIssued(certificate, authorities, now))
    throw new ApiError('IdentityMissing', 'A client certificate of this hub is needed, and none was shown. Join first.')
  const { uris, notBefore, notAfter } = certificateInfo(certificate.toString(), now)
  if (uris.length !== 1 || uris[0] !== spiffeId(trustDomain, cluster))
    throw new ApiError('IdentityMismatch', `The client certificate is not the one of cluster ${cluster}.`)
  // The handshake checked the time once; a connection may last longer than the certificate.
  const expired = now >= notAfter
  if (now < notBefore || now.getTime() >= notAfter.getTime() + graceMs)
    throw new ApiError(
      'IdentityExpired',
      graceMs > 0
        ? `The identity of ${cluster} ended at ${notAfter.toISOString()}, too long ago to be renewed. Join it again with "muster join".`
        : `The client certificate is not valid at ${now.toISOString()}: it ended at ${notAfter.toISOString()}. Renew it.`,
    )
  const organization = certificate.toLegacyObject().subject?.O as string | string[] | undefined
  return { identity: Array.isArray(organization) ? undefined : organization, expired }
}

/**
 * Demands that an identity is of the cluster's last joining. A Cluster that says nothing of it, such as one that was restored from a
 * file, takes every identity of its name.
 * @throws ApiError `IdentityRevoked`
 */
export function demandNotRevoked({ metadata, spec }: Cluster, { identity }: ProvenIdentity): void {
  if (spec.identity === undefined || spec.identity === identity) return
  throw new ApiError(
    'IdentityRevoked',
    `This identity of ${metadata.name} counts no more: the cluster has left or was joined anew since. Join it again with "muster join".`,
  )
}

function isIssued(certificate: X509Certificate, authorities: readonly X509Certificate[], now: Date): boolean {
  if (certificate.ca || !certificate.keyUsage?.includes(clientAuthentication)) return false
  return authorities.some(
    (authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && now < new Date(authority.validTo),
  )
}
