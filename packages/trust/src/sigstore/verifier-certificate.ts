import { X509Certificate } from '@sigstore/core'
import type { Certificate } from './certificate.ts'

/**
 * A certificate as the Sigstore project's verifier takes it. Its own encodes a certificate anew, and checks the same signature again,
 * with each question; this one answers from the bytes that came, and checks once. Signatures are checked by OpenSSL over those bytes.
 */
export class VerifierCertificate extends X509Certificate {
  readonly #read: Certificate
  readonly #issuedBy = new WeakMap<X509Certificate, boolean>()

  constructor(certificate: Certificate) {
    super(certificate.asn1)
    this.#read = certificate
  }

  override verify(issuer: X509Certificate = this): boolean {
    if (!(issuer instanceof VerifierCertificate)) return super.verify(issuer)
    const known = this.#issuedBy.get(issuer)
    if (known !== undefined) return known
    const holds = this.#read.x509.verify(issuer.#read.x509.publicKey)
    this.#issuedBy.set(issuer, holds)
    return holds
  }

  override equals(other: X509Certificate): boolean {
    return other instanceof VerifierCertificate ? this.#read.x509.raw.equals(other.#read.x509.raw) : super.equals(other)
  }

  /** One that may be changed: the verifier takes the SCTs out of it. */
  override clone(): X509Certificate {
    return X509Certificate.parse(Buffer.from(this.#read.x509.raw))
  }
}
