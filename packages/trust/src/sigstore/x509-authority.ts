import { refusing, TrustError } from '../errors.ts'
import type { SigningMaterial } from '../signature/envelope.ts'
import type { VerifiedIdentity, X509Authority } from './authority.ts'
import { type Certificate, certificatesOfPem, maxCertificateBytes, readCertificate, readTrustedCertificates } from './certificate.ts'
import { demandChain, described } from './chain.ts'
import { demandIdentity } from './identity.ts'
import type { Signed } from './signed.ts'
import { demandTimestamp, maxTimestamps } from './timestamp.ts'

const maxCertificates = 8

interface Trust {
  readonly roots: readonly Certificate[]
  readonly intermediates: readonly Certificate[]
  readonly timestampRoots: readonly Certificate[]
  readonly timestampSigners: readonly Certificate[]
}

/** What was read of an authority, kept as long as the authority itself: reading costs more than a verification. */
const trusts = new WeakMap<X509Authority, Trust>()

/**
 * Verifies a signature by a certificate of an own PKI: the chain at the time of signing, the identity, and the signature itself. The
 * time of signing is the earliest of the time stamps that hold, or now where there is none.
 * @throws TrustError `WrongKey`, `IdentityNotAllowed`, `Expired`, `UnknownFormat`, `DataDamaged`, `NoneFound`, `AuthorityInvalid`
 */
export function demandCertificate(signed: Signed, authority: X509Authority, { now }: { readonly now: Date }): VerifiedIdentity {
  const trust = trustOf(authority)
  const [leaf, ...carried] = signerCertificates(signed.what, signed.material)
  if (leaf === undefined)
    throw new TrustError(
      'WrongKey',
      `The signature of ${signed.what} names no certificate: ${authority.name} vouches for certificates only.`,
    )
  const signedAt = timeOfSigning(signed, authority, trust)
  const [, issuer] = demandChain(leaf, {
    roots: trust.roots,
    intermediates: [...carried, ...trust.intermediates],
    usage: 'codeSigning',
    at: signedAt ?? now,
  })
  const subject = demandIdentity(
    { subjects: [...leaf.names, leaf.subjectText], issuer: issuer?.subjectText ?? '' },
    authority.identities,
    authority.name,
  )
  if (!signed.content.holds(leaf.x509.publicKey))
    throw new TrustError('DataDamaged', `The signature of ${signed.what} was not made with the key of its certificate ${described(leaf)}.`)
  return { authority: authority.name, identity: subject, issuer: issuer?.subjectText, ...(signedAt ? { signedAt } : {}) }
}

/** The certificates that came with a signature, its signer's first. @throws TrustError `UnknownFormat` */
export function signerCertificates(what: string, material: SigningMaterial): Certificate[] {
  const given = material.certificates ?? []
  if (given.length > maxCertificates)
    throw new TrustError('UnknownFormat', `There are ${given.length} certificates with ${what}; at most ${maxCertificates} are read.`)
  return given.flatMap((one) => {
    if (one.length > 2 * maxCertificateBytes) throw new TrustError('UnknownFormat', `A certificate of ${what} is too large.`)
    const ders = refusing('UnknownFormat', `A certificate of ${what} is neither PEM nor DER in base64.`, () =>
      one.includes('-----BEGIN') ? certificatesOfPem(one) : [Buffer.from(one, 'base64')],
    )
    return ders.map(readCertificate)
  })
}

function timeOfSigning(signed: Signed, authority: X509Authority, trust: Trust): Date | undefined {
  const stamps = signed.material.timestamps ?? []
  if (stamps.length > maxTimestamps)
    throw new TrustError('UnknownFormat', `There are ${stamps.length} time stamps with ${signed.what}; at most ${maxTimestamps} are read.`)
  const times: number[] = []
  let refusal: unknown
  // Where no timestamp authority is believed, a time stamp proves nothing and harms nothing.
  for (const stamp of trust.timestampRoots.length > 0 ? stamps : []) {
    try {
      times.push(demandTimestamp(stamp, signed.content.signature, { roots: trust.timestampRoots, known: trust.timestampSigners }).getTime())
    } catch (error) {
      refusal ??= error
    }
  }
  if (times.length > 0) return new Date(Math.min(...times))
  if (refusal !== undefined) throw refusal
  if (authority.requireTimestamp === true)
    throw new TrustError('NoneFound', `The signature of ${signed.what} has no time stamp, and ${authority.name} demands one.`)
  return undefined
}

function trustOf(authority: X509Authority): Trust {
  const known = trusts.get(authority)
  if (known) return known
  const stampers = readTrustedCertificates(authority.timestampAuthorities ?? [], `The timestamp authorities of ${authority.name}`)
  const isRoot = (certificate: Certificate): boolean => certificate.isAuthority && certificate.subject.equals(certificate.issuer)
  const made: Trust = {
    roots: readTrustedCertificates(authority.roots, `The roots of ${authority.name}`),
    intermediates: readTrustedCertificates(authority.intermediates ?? [], `The intermediate certificates of ${authority.name}`),
    timestampRoots: stampers.filter(isRoot),
    timestampSigners: stampers.filter((certificate) => !isRoot(certificate)),
  }
  if (made.roots.length === 0) throw new TrustError('AuthorityInvalid', `The authority ${authority.name} has no root certificate.`)
  if (stampers.length > 0 && made.timestampRoots.length === 0)
    throw new TrustError('AuthorityInvalid', `The timestamp authorities of ${authority.name} have no root among them (self-signed, PEM).`)
  trusts.set(authority, made)
  return made
}
