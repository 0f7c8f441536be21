import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import { certificateInfo } from '@muster/pki'
import { ApiError } from './errors.ts'

/** The SPIFFE id of a cluster (SPIFFE-ID standard, 2). */
export function spiffeId(trustDomain: string, cluster: string): string {
  return `spiffe://${trustDomain}/cluster/${cluster}`
}

/**
 * Demands that a request comes from the agent of `cluster`: that its certificate chains to the hub's authority, is valid now and
 * names this cluster and no other.
 * @throws ApiError `IdentityMissing`, `IdentityMismatch`
 */
export function demandIdentity(
  message: IncomingMessage,
  options: { readonly cluster: string; readonly trustDomain: string; readonly now: Date },
): void {
  const { cluster, trustDomain, now } = options
  const { socket } = message
  const certificate = socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined
  if (!certificate)
    throw new ApiError(
      'IdentityMissing',
      'A client certificate of this hub is needed, and none that is valid was shown. Join first, or renew it.',
    )
  const { uris, notBefore, notAfter } = certificateInfo(certificate.toString(), now)
  // The handshake checked the time once; a connection may last longer than the certificate.
  if (now < notBefore || now >= notAfter)
    throw new ApiError('IdentityMissing', `The client certificate is not valid at ${now.toISOString()}. Join again.`)
  if (uris.length !== 1 || uris[0] !== spiffeId(trustDomain, cluster))
    throw new ApiError('IdentityMismatch', `The client certificate is not the one of cluster ${cluster}.`)
}
