import { X509Certificate } from 'node:crypto'
import { PkiError } from './errors.ts'

/** What is asked of a certificate again and again. */
export interface CertificateInfo {
  readonly notBefore: Date
  readonly notAfter: Date
  /** Share of its life that is left at `now`: 1 when new, 0 when expired. */
  readonly remaining: number
  /** URIs among its subject alternative names, such as a SPIFFE id. */
  readonly uris: readonly string[]
}

/**
 * Reads the times and URIs of a certificate (PEM).
 * @throws PkiError `CertificateUnreadable`
 */
export function certificateInfo(pem: string, now: Date): CertificateInfo {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(pem)
  } catch (cause) {
    throw new PkiError('CertificateUnreadable', 'The certificate is not X.509 in PEM, or it is damaged.', cause)
  }
  const notBefore = new Date(certificate.validFrom)
  const notAfter = new Date(certificate.validTo)
  const left = (notAfter.getTime() - now.getTime()) / (notAfter.getTime() - notBefore.getTime())
  return {
    notBefore,
    notAfter,
    remaining: Math.min(1, Math.max(0, left)),
    uris: (certificate.subjectAltName ?? '')
      .split(', ')
      .filter((name) => name.startsWith('URI:'))
      .map((name) => name.slice('URI:'.length)),
  }
}
