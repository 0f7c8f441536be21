import { X509Certificate } from 'node:crypto'
import { ASN1Obj } from '@sigstore/core'
import { refusing, TrustError } from '../errors.ts'
import { asRefusal } from './as-refusal.ts'
import { objectionTo } from './signature-check.ts'

/** A certificate (RFC 5280), read. Its signature is not verified yet. */
export interface Certificate {
  readonly x509: X509Certificate
  /** Its encoding, taken apart. */
  readonly asn1: ASN1Obj
  /** Distinguished names as they are encoded, to be compared byte by byte, and as RFC 4514 writes them. */
  readonly subject: Buffer
  readonly issuer: Buffer
  readonly subjectText: string
  readonly issuerText: string
  readonly serialNumber: Buffer
  readonly notBefore: Date
  readonly notAfter: Date
  readonly isAuthority: boolean
  readonly pathLength?: number | undefined
  readonly keyUsage?: { readonly digitalSignature: boolean; readonly keyCertSign: boolean } | undefined
  readonly extendedKeyUsage?: readonly string[] | undefined
  readonly subjectKeyId?: Buffer | undefined
  readonly authorityKeyId?: Buffer | undefined
  /** URIs, emails, DNS names and Fulcio's other names, in their order. */
  readonly names: readonly string[]
  /** Fulcio's extension: the OIDC issuer. */
  readonly oidcIssuer?: string | undefined
  /** Why it is not used, whoever signed it: an extension that must be understood and is not, a weak algorithm, an odd curve. */
  readonly objection?: string | undefined
}

export const usages = { codeSigning: '1.3.6.1.5.5.7.3.3', timeStamping: '1.3.6.1.5.5.7.3.8', any: '2.5.29.37.0' } as const

/** Larger certificates are not read. Those of RSA-8192 with many names have some 8 KiB. */
export const maxCertificateBytes = 32 * 1024
const maxNames = 64

const extensionIds = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  certificatePolicies: '2.5.29.32',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  fulcioIssuer1: '1.3.6.1.4.1.57264.1.1',
  fulcioIssuer2: '1.3.6.1.4.1.57264.1.8',
} as const

/** Those that are checked, or (policies, with none demanded) have nothing to check. What else is marked critical is refused. */
const understood: ReadonlySet<string> = new Set([
  extensionIds.keyUsage,
  extensionIds.subjectAltName,
  extensionIds.basicConstraints,
  extensionIds.certificatePolicies,
  extensionIds.extendedKeyUsage,
])

const signatureAlgorithms: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'ecdsa-with-SHA256',
  '1.2.840.10045.4.3.3': 'ecdsa-with-SHA384',
  '1.2.840.10045.4.3.4': 'ecdsa-with-SHA512',
  '1.2.840.113549.1.1.11': 'sha256WithRSAEncryption',
  '1.2.840.113549.1.1.12': 'sha384WithRSAEncryption',
  '1.2.840.113549.1.1.13': 'sha512WithRSAEncryption',
  '1.3.101.112': 'Ed25519',
}

const weakAlgorithms: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'MD5 with RSA',
  '1.2.840.113549.1.1.5': 'SHA-1 with RSA',
  '1.2.840.10045.4.1': 'SHA-1 with ECDSA',
  '1.2.840.10040.4.3': 'SHA-1 with DSA',
}

/** Reads certificates in PEM (several in one text too). @throws TrustError `AuthorityInvalid` */
export function readTrustedCertificates(pems: readonly string[], what: string): Certificate[] {
  return asRefusal('AuthorityInvalid', `${what} are not certificates in PEM, or one is damaged.`, () =>
    pems.flatMap((pem) => certificatesOfPem(pem).map(readCertificate)),
  )
}

/** DER of each certificate of a PEM text. @throws Error where there is none */
export function certificatesOfPem(pem: string): Buffer[] {
  const blocks = [...pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g)]
  if (blocks.length === 0) throw new Error('no certificate in PEM')
  return blocks.map(([, body]) => Buffer.from(body ?? '', 'base64'))
}

/** @throws TrustError `UnknownFormat` where it is no certificate, or not in DER */
export function readCertificate(der: Uint8Array): Certificate {
  return refusing('UnknownFormat', 'A certificate is not X.509 in DER, or it is damaged.', () => {
    if (der.length > maxCertificateBytes)
      throw new TrustError('UnknownFormat', `A certificate has ${der.length} bytes; at most ${maxCertificateBytes} are read.`)
    const bytes = Buffer.from(der)
    const x509 = new X509Certificate(bytes)
    const asn1 = ASN1Obj.parseBuffer(bytes)
    const [tbs, algorithm] = asn1.subs
    if (!tbs || !algorithm || !tbs.subs[0]?.tag.isContextSpecific(0)) throw new Error('no version 3 certificate')
    const [, serial, , issuer, validity, subject] = tbs.subs
    const [from, to] = validity?.subs ?? []
    if (!serial || !issuer || !subject || !from || !to) throw new Error('a field is missing')
    const extensions = readExtensions(tbs.subs.find((field) => field.tag.isContextSpecific(3))?.subs[0])
    const algorithmId = algorithm.subs[0]?.toOID() ?? ''
    return {
      x509,
      asn1,
      subject: subject.toDER(),
      issuer: issuer.toDER(),
      subjectText: nameText(x509.subject),
      issuerText: nameText(x509.issuer),
      serialNumber: serial.value,
      notBefore: from.toDate(),
      notAfter: to.toDate(),
      ...extensions,
      objection:
        extensions.objection ??
        (signatureAlgorithms[algorithmId] === undefined
          ? `is signed with ${weakAlgorithms[algorithmId] ?? `the algorithm ${algorithmId}`}, which is not accepted`
          : undefined) ??
        keyObjection(x509),
    }
  })
}

/** Is it signed with the issuer's key? Names and rights are not looked at. */
export function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  try {
    return certificate.x509.verify(issuer.x509.publicKey)
  } catch {
    return false
  }
}

function keyObjection(x509: X509Certificate): string | undefined {
  const objection = objectionTo(x509.publicKey)
  return objection === undefined ? undefined : `has a key that ${objection}, which is not accepted`
}

type Extensions = Pick<
  Certificate,
  'isAuthority' | 'pathLength' | 'keyUsage' | 'extendedKeyUsage' | 'subjectKeyId' | 'authorityKeyId' | 'names' | 'oidcIssuer' | 'objection'
>

function readExtensions(list: ASN1Obj | undefined): Extensions {
  const values = new Map<string, Buffer>()
  let objection: string | undefined
  for (const extension of list?.subs ?? []) {
    const id = extension.subs[0]?.toOID() ?? ''
    const value = extension.subs.at(-1)?.value
    if (value === undefined || values.has(id)) throw new Error('an extension is twice there, or empty')
    values.set(id, value)
    if (extension.subs.length === 3 && extension.subs[1]?.toBoolean() === true && !understood.has(id))
      objection ??= `has the critical extension ${id}${id === '2.5.29.30' ? ' (name constraints)' : ''}, which is not understood here`
  }
  const read = <T>(id: string, parse: (value: ASN1Obj) => T): T | undefined => {
    const value = values.get(id)
    return value === undefined ? undefined : parse(ASN1Obj.parseBuffer(Buffer.from(value)))
  }
  const constraints = read(extensionIds.basicConstraints, (value) => value.subs)
  const isAuthority = constraints?.[0]?.tag.isBoolean() === true && constraints[0].toBoolean()
  const pathLength = constraints?.[1]?.toInteger()
  return {
    isAuthority,
    pathLength: pathLength === undefined ? undefined : Number(pathLength),
    keyUsage: read(extensionIds.keyUsage, (value) => {
      const bits = value.toBitString()
      return { digitalSignature: bits[0] === 1, keyCertSign: bits[5] === 1 }
    }),
    extendedKeyUsage: read(extensionIds.extendedKeyUsage, (value) => value.subs.map((usage) => usage.toOID())),
    subjectKeyId: read(extensionIds.subjectKeyId, (value) => value.value),
    authorityKeyId: read(extensionIds.authorityKeyId, (value) => value.subs.find((part) => part.tag.isContextSpecific(0))?.value),
    names: read(extensionIds.subjectAltName, namesOf) ?? [],
    // The second form is a UTF8String; the first, older one was the bare text.
    oidcIssuer: read(extensionIds.fulcioIssuer2, (value) => text(value.value)) ?? bare(values.get(extensionIds.fulcioIssuer1)),
    objection,
  }
}

const fulcioOtherName = '1.3.6.1.4.1.57264.1.7'

function namesOf(value: ASN1Obj): string[] {
  if (value.subs.length > maxNames) throw new Error('too many names')
  return value.subs.flatMap((name) => {
    if ([1, 2, 6].some((kind) => name.tag.isContextSpecific(kind))) return [text(name.value)]
    const [id, wrapped] = name.tag.isContextSpecific(0) ? name.subs : []
    return id?.toOID() === fulcioOtherName && wrapped?.subs[0] ? [text(wrapped.subs[0].value)] : []
  })
}

const bare = (value: Buffer | undefined): string | undefined => (value === undefined ? undefined : text(value))

/** A name with a NUL byte or broken UTF-8 is none: two readers could see two names. */
function text(bytes: Buffer): string {
  const read = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  if (/\p{Cc}/u.test(read)) throw new Error('a name has control characters')
  return read
}

/** Node writes one attribute a line, in the order of the encoding; RFC 4514 begins with the last. */
function nameText(lines: string | undefined): string {
  return (lines ?? '').split('\n').toReversed().join(',')
}
