import { randomBytes } from 'node:crypto'
import { createKeyPair, publicKeyOf, signingKey, verifyingKey } from './keys.ts'
import { distinguishedName } from './name.ts'
import { x509 } from './x509.ts'

const day = 24 * 60 * 60 * 1000
/** Clocks of a fleet differ by a little: a certificate is valid from this long before it was made. */
const backdating = 5 * 60 * 1000

/** A certificate authority: its certificate and key, PEM. */
export interface Authority {
  readonly certificate: string
  readonly privateKey: string
}

/** A certificate with the key that it is for, where this side made it. */
export interface IssuedCertificate {
  readonly certificate: string
  readonly privateKey: string
}

export interface IssueOptions {
  /** Common name and organizations (Kubernetes: user and groups). */
  readonly commonName: string
  readonly organizations?: readonly string[]
  /** DNS names, IP addresses and URIs (SPIFFE) that the certificate is valid for. */
  readonly dns?: readonly string[]
  readonly addresses?: readonly string[]
  readonly uris?: readonly string[]
  readonly usages: readonly ('server' | 'client')[]
  readonly days: number
  readonly now: Date
}

/** Makes a self-signed authority (RFC 5280: basic constraints CA, path length 0). */
export async function createAuthority(commonName: string, options: { readonly days: number; readonly now: Date }): Promise<Authority> {
  const { privateKey } = createKeyPair()
  const keys = { privateKey: await signingKey(privateKey), publicKey: await verifyingKey(publicKeyOf(privateKey)) }
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: distinguishedName(commonName),
    ...validity(options),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: pem(certificate), privateKey }
}

/** An authority read back from where it is kept. */
export function authorityFrom(certificate: string, privateKey: string): Authority {
  return { certificate, privateKey }
}

/** Issues a certificate for a new key (returned with it), or for `publicKey` (SPKI, PEM) whose private half is elsewhere. */
export async function issueCertificate(authority: Authority, options: IssueOptions): Promise<IssuedCertificate>
export async function issueCertificate(
  authority: Authority,
  options: IssueOptions,
  publicKey: string,
): Promise<{ readonly certificate: string }>
export async function issueCertificate(
  authority: Authority,
  options: IssueOptions,
  publicKey?: string,
): Promise<{ readonly certificate: string; readonly privateKey?: string }> {
  const made = publicKey === undefined ? createKeyPair() : undefined
  const issuer = new x509.X509Certificate(authority.certificate)
  const names: x509.JsonGeneralName[] = [
    ...(options.dns ?? []).map((value) => ({ type: 'dns', value }) as const),
    ...(options.addresses ?? []).map((value) => ({ type: 'ip', value }) as const),
    ...(options.uris ?? []).map((value) => ({ type: 'url', value }) as const),
  ]
  const key = await verifyingKey(made?.publicKey ?? publicKey ?? '')
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: distinguishedName(options.commonName, options.organizations),
    // The name as it is encoded in the certificate: verifiers may compare the bytes (RFC 5280, 7.1, allows it).
    issuer: issuer.subjectName,
    ...validity(options),
    publicKey: key,
    signingKey: await signingKey(authority.privateKey),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(
        options.usages.map((usage) => (usage === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth)),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer, false),
      await x509.SubjectKeyIdentifierExtension.create(key),
      ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
    ],
  })
  return made === undefined ? { certificate: pem(certificate) } : { certificate: pem(certificate), privateKey: made.privateKey }
}

function validity(options: { readonly days: number; readonly now: Date }): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(options.now.getTime() - backdating), notAfter: new Date(options.now.getTime() + options.days * day) }
}

/** 16 random bytes, positive (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes.toString('hex')
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}
