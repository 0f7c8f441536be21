import { ASN1Obj, RFC3161Timestamp } from '@sigstore/core'
import { refusing, TrustError } from '../errors.ts'
import { type Certificate, maxCertificateBytes, readCertificate } from './certificate.ts'
import { demandChain } from './chain.ts'

/** Larger time stamps are not read. With a chain of three certificates one has some 5 KiB. */
export const maxTimestampBytes = 64 * 1024
/** More time stamps on one signature are not read. */
export const maxTimestamps = 16
const maxCertificates = 8

/**
 * The time that a timestamp authority (RFC 3161) vouches for, when it signed the hash of `signature`. The authority's certificate
 * comes with the time stamp, or is among `known`; it must lead to one of `roots`, and be for time stamping.
 * @throws TrustError `UnknownFormat`, `DataDamaged`, `WrongKey`, `Expired`
 */
export function demandTimestamp(
  response: Uint8Array,
  signature: Uint8Array,
  trust: { readonly roots: readonly Certificate[]; readonly known: readonly Certificate[] },
): Date {
  const { stamp, at, carried, isSigner } = readTimestamp(response)
  const signer = [...carried, ...trust.known, ...trust.roots].find(isSigner)
  if (!signer)
    throw new TrustError(
      'WrongKey',
      'The time stamp carries no certificate of its signer, and none is known here: ask for it with the stamp.',
    )
  demandChain(signer, { roots: trust.roots, intermediates: [...carried, ...trust.known], usage: 'timeStamping', at })
  refusing('DataDamaged', 'The time stamp does not hold: it is of another signature, or was changed.', () =>
    stamp.verify(Buffer.from(signature), signer.x509.publicKey),
  )
  return at
}

/** A time stamp that was read; nothing of it is verified. */
export interface ReadTimestamp {
  readonly stamp: RFC3161Timestamp
  readonly at: Date
  readonly carried: readonly Certificate[]
  /** Whether the time stamp says that it was signed with this certificate's key. */
  readonly isSigner: (certificate: Certificate) => boolean
}

/** Reads a response in DER; nothing is verified. @throws TrustError `UnknownFormat` */
export function readTimestamp(response: Uint8Array): ReadTimestamp {
  return refusing('UnknownFormat', 'The time stamp is not a response of RFC 3161 in DER with a token, or it is damaged.', () => {
    if (response.length > maxTimestampBytes) throw new Error('too large')
    const bytes = Buffer.from(response)
    const stamp = RFC3161Timestamp.parse(bytes)
    // 0: granted; 1: granted with changes (2.4.2).
    if (stamp.status !== 0n && stamp.status !== 1n) throw new Error('not granted')
    const at = stamp.signingTime
    if (Number.isNaN(at.getTime())) throw new Error('no time')
    const { signerSerialNumber: serial, signerIssuer: issuer } = stamp
    const isSigner = (certificate: Certificate): boolean =>
      certificate.serialNumber.equals(serial) && ASN1Obj.parseBuffer(Buffer.from(certificate.issuer)).value.equals(issuer)
    return { stamp, at, carried: certificatesIn(bytes), isSigner }
  })
}

/** Certificates of a SignedData (RFC 5652, 5.1): response, content info, [0], signed data, [0]. */
function certificatesIn(response: Buffer): Certificate[] {
  const content = ASN1Obj.parseBuffer(Buffer.from(response)).subs[1]?.subs.find((part) => part.tag.isContextSpecific(0))
  const list = content?.subs[0]?.subs.find((part) => part.tag.isContextSpecific(0))
  return (list?.subs ?? [])
    .slice(0, maxCertificates)
    .map((certificate) => certificate.toDER())
    .filter((der) => der.length <= maxCertificateBytes)
    .map(readCertificate)
}
