import 'reflect-metadata'
import { createPrivateKey, type KeyObject, type webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import { memoryKey } from '../../keys/memory-key.ts'
import type { SignatureKey } from '../../keys/signature-key.ts'

export { x509 }

/** A certificate of a test's own PKI, with its key. */
export interface TestCertificate {
  readonly pem: string
  readonly der: Buffer
  readonly privateKey: KeyObject
  readonly keys: webcrypto.CryptoKeyPair
  readonly certificate: x509.X509Certificate
}

export interface TestCertificateOptions {
  readonly name: string
  readonly issuer?: TestCertificate | undefined
  readonly authority?: boolean
  readonly pathLength?: number
  readonly usages?: readonly string[]
  readonly keyUsage?: number
  readonly names?: readonly x509.JsonGeneralName[]
  readonly from?: Date
  readonly to?: Date
  /** Instead of one that is made: for kinds of keys that are not made here. */
  readonly publicKey?: KeyObject
  readonly hash?: 'SHA-1' | 'SHA-256'
  readonly extensions?: readonly x509.Extension[]
}

const day = 24 * 60 * 60 * 1000
const codeSigning = '1.3.6.1.5.5.7.3.3'
export const timeStamping = '1.3.6.1.5.5.7.3.8'

/** A certificate as a test wants it: good unless something of it is asked to be bad. */
export async function makeCertificate(options: TestCertificateOptions): Promise<TestCertificate> {
  const { name, issuer, authority = false, hash = 'SHA-256' } = options
  const keys = (await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const publicKey = options.publicKey ? new x509.PublicKey(options.publicKey.export({ type: 'spki', format: 'der' })) : keys.publicKey
  const usages = options.usages ?? (authority ? [] : [codeSigning])
  const keyUsage = options.keyUsage ?? (authority ? x509.KeyUsageFlags.keyCertSign : x509.KeyUsageFlags.digitalSignature)
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
      .toString('hex')
      .replace(/^./, '4'),
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subjectName ?? `CN=${name}`,
    notBefore: options.from ?? new Date(Date.now() - day),
    notAfter: options.to ?? new Date(Date.now() + day),
    publicKey,
    signingKey: issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm: { name: 'ECDSA', hash },
    extensions: [
      new x509.BasicConstraintsExtension(authority, options.pathLength, true),
      new x509.KeyUsagesExtension(keyUsage, true),
      ...(usages.length > 0 ? [new x509.ExtendedKeyUsageExtension([...usages])] : []),
      ...(options.names ? [new x509.SubjectAlternativeNameExtension([...options.names])] : []),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(issuer ? [await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey)] : []),
      ...(options.extensions ?? []),
    ],
  })
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey))
  return {
    pem: `${certificate.toString('pem')}\n`,
    der: Buffer.from(certificate.rawData),
    privateKey: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
    keys,
    certificate,
  }
}

/** A certificate's key as one that signs. */
export function certifiedKey(leaf: TestCertificate, ...chain: readonly TestCertificate[]): SignatureKey {
  return { ...memoryKey(leaf.privateKey), certificateChain: [leaf, ...chain].map(({ pem }) => pem) }
}
