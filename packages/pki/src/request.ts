import { createPublicKey } from 'node:crypto'
import { PkiError } from './errors.ts'
import { curveOf } from './keys.ts'
import { x509 } from './x509.ts'

/** Larger than any request for an EC key; what is longer is not parsed. */
const maxRequestLength = 16 * 1024

/** What a request asks for, its signature checked. */
export interface CertificateRequest {
  readonly commonName: string
  /** SPKI, PEM. */
  readonly publicKey: string
}

/**
 * Reads a request and checks that its sender holds the key. Only the key and the name are taken; extensions that it asks for are not.
 * @throws PkiError `RequestUnreadable`, `RequestSignature`, `KeyNotAllowed`
 */
export async function readRequest(pem: string): Promise<CertificateRequest> {
  if (pem.length > maxRequestLength) throw new PkiError('RequestUnreadable', 'The certificate request is longer than 16 KiB.')
  let request: x509.Pkcs10CertificateRequest
  let publicKey: string
  try {
    request = new x509.Pkcs10CertificateRequest(pem)
    publicKey = `${request.publicKey.toString('pem')}\n`
    curveOf(createPublicKey(publicKey))
  } catch (cause) {
    if (cause instanceof PkiError) throw cause
    throw new PkiError('RequestUnreadable', 'The certificate request is not PKCS#10 in PEM.', cause)
  }
  const genuine = await request.verify().catch(() => false)
  if (!genuine) throw new PkiError('RequestSignature', 'The certificate request is not signed by the key that it names.')
  return { commonName: request.subjectName.getField('CN')[0] ?? '', publicKey }
}
