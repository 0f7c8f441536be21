import { TrustError } from '../errors.ts'
import { type Certificate, isSignedBy, usages } from './certificate.ts'
import { shown } from './identity.ts'

/** Certificates between a signer and its root that are followed. */
const maxDepth = 8
/** Signatures that are checked while looking for a way: a pool of certificates of one name must not cost more. */
const maxChecks = 64

export interface ChainOptions {
  readonly roots: readonly Certificate[]
  readonly intermediates: readonly Certificate[]
  readonly usage: 'codeSigning' | 'timeStamping'
  /** When all of the chain must have been valid. */
  readonly at: Date
}

/**
 * The certificates from a signer to a root that is trusted (RFC 5280, 6.1): names, signatures, time, basic constraints, path
 * length, key usage and extended key usage of each. Revocation is not asked for; certificates of an own PKI should live for a short
 * time, or their signatures be time-stamped.
 * @throws TrustError `WrongKey`, `Expired`
 */
export function demandChain(leaf: Certificate, { roots, intermediates, usage, at }: ChainOptions): readonly Certificate[] {
  demandSigner(leaf, usage)
  const pool = intermediates.filter((certificate) => certificate.isAuthority)
  const refusals: TrustError[] = []
  let checks = 0

  const follow = (path: readonly Certificate[]): readonly Certificate[] | undefined => {
    const last = path.at(-1)
    if (last === undefined || path.length > maxDepth) return undefined
    for (const [issuers, trusted] of [
      [roots, true],
      [pool, false],
    ] as const) {
      for (const issuer of issuers) {
        if (path.includes(issuer) || !mayHaveIssued(issuer, last)) continue
        checks += 1
        if (checks > maxChecks) return undefined
        if (!isSignedBy(last, issuer)) continue
        const refusal = objectionToIssuer(issuer, path, usage, at)
        if (refusal) {
          refusals.push(refusal)
          continue
        }
        const found = trusted ? [...path, issuer] : follow([...path, issuer])
        if (found) return found
      }
    }
    return undefined
  }

  const path = follow([leaf])
  if (path) {
    demandTime(leaf, at)
    return path
  }
  throw (
    refusals[0] ??
    new TrustError(
      'WrongKey',
      `The certificate ${described(leaf)} does not lead to a root that is trusted here: its issuer is ${shown(leaf.issuerText)}.`,
    )
  )
}

/** What one must be to sign at all, whoever vouches. @throws TrustError `WrongKey` */
export function demandSigner(leaf: Certificate, usage: 'codeSigning' | 'timeStamping'): void {
  const objection =
    leaf.objection ??
    (leaf.isAuthority ? 'is that of an authority, which signs certificates only' : undefined) ??
    (leaf.keyUsage?.digitalSignature === false ? 'is not for digital signatures (key usage)' : undefined) ??
    (leaf.extendedKeyUsage?.includes(usages[usage]) === true
      ? undefined
      : `is not for ${usage === 'codeSigning' ? 'code signing' : 'time stamping'} (extended key usage)`)
  if (objection !== undefined) throw new TrustError('WrongKey', `The certificate ${described(leaf)} ${objection}.`)
}

/** @throws TrustError `Expired` */
export function demandTime(certificate: Certificate, at: Date): void {
  if (isWithin(certificate, at)) return
  throw new TrustError(
    'Expired',
    `The certificate ${described(certificate)} was valid from ${certificate.notBefore.toISOString()} to ${certificate.notAfter.toISOString()}; the time that counts is ${at.toISOString()}. Sign again, or with a time stamp.`,
  )
}

function isWithin({ notBefore, notAfter }: Certificate, at: Date): boolean {
  return notBefore <= at && at <= notAfter
}

function mayHaveIssued(issuer: Certificate, issued: Certificate): boolean {
  if (!issuer.subject.equals(issued.issuer)) return false
  return !issued.authorityKeyId || !issuer.subjectKeyId || issuer.subjectKeyId.equals(issued.authorityKeyId)
}

function objectionToIssuer(
  issuer: Certificate,
  path: readonly Certificate[],
  usage: 'codeSigning' | 'timeStamping',
  at: Date,
): TrustError | undefined {
  // Certificates that an authority issued to itself, as when it changes its key, do not count (RFC 5280, 4.2.1.9).
  const between = path.slice(1).filter((certificate) => !certificate.subject.equals(certificate.issuer)).length
  const allowed = issuer.extendedKeyUsage
  const objection =
    issuer.objection ??
    (issuer.isAuthority ? undefined : 'is not that of an authority') ??
    (issuer.keyUsage?.keyCertSign === false ? 'may not sign certificates (key usage)' : undefined) ??
    (allowed && !allowed.includes(usages[usage]) && !allowed.includes(usages.any)
      ? 'may not vouch for signers of this kind (extended key usage)'
      : undefined) ??
    (issuer.pathLength !== undefined && issuer.pathLength < between
      ? `allows ${issuer.pathLength} authorities below it, and there are ${between} (path length)`
      : undefined)
  if (objection !== undefined) return new TrustError('WrongKey', `The certificate ${described(issuer)} ${objection}.`)
  if (isWithin(issuer, at)) return undefined
  return new TrustError(
    'Expired',
    `The authority's certificate ${described(issuer)} was valid from ${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}; the time that counts is ${at.toISOString()}.`,
  )
}

export function described(certificate: Certificate): string {
  return shown(certificate.names[0] ?? certificate.subjectText)
}
