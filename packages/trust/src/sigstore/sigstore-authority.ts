import { type KeyObject, timingSafeEqual } from 'node:crypto'
import { TransparencyLogEntry } from '@sigstore/protobuf-specs'
import { type SignedEntity, VerificationError, Verifier } from '@sigstore/verify'
import { refusing, TrustError } from '../errors.ts'
import type { SigstoreAuthority, VerifiedIdentity } from './authority.ts'
import { type Certificate, certificatesOfPem, readCertificate } from './certificate.ts'
import { demandSigner } from './chain.ts'
import { demandIdentity } from './identity.ts'
import { demandLoggedSigner } from './log-signer.ts'
import { hasTime, type Proofs, type ReadEntry, readProofs } from './proofs.ts'
import type { Signed, SignedContent } from './signed.ts'
import { refusalOf, type VerifyContext } from './sigstore-refusal.ts'
import { readTrustedRoot } from './trusted-root.ts'
import { VerifierCertificate } from './verifier-certificate.ts'

/** How far another's clock may be ahead of ours. */
const maxSkew = 5 * 60 * 1000

/**
 * Verifies by a trusted root and identity rules.
 * @throws TrustError `WrongKey`, `IdentityNotAllowed`, `Expired`, `UnknownFormat`, `DataDamaged`, `NoneFound`, `AuthorityInvalid`
 */
export function demandSigstore(signed: Signed, authority: SigstoreAuthority, { now }: { readonly now: Date }): VerifiedIdentity {
  const instance = readTrustedRoot(authority.trustedRoot)
  const leaf = signerCertificate(signed)
  const proofs = readProofs(signed)
  demandSigner(leaf, 'codeSigning')
  verify(signed, proofs, { $case: 'certificate', certificate: new VerifierCertificate(leaf) }, { instance, authority, now, leaf })
  const issuer = leaf.oidcIssuer
  const rules = authority.identities.filter((rule) => issuer === undefined || (rule.issuer ?? rule.issuerPattern) !== undefined)
  if (rules.length === 0)
    throw new TrustError('AuthorityInvalid', `No rule of ${authority.name} names an OIDC issuer: any issuer could vouch for any name.`)
  const identity = demandIdentity({ subjects: leaf.names, issuer: issuer ?? '' }, rules, authority.name)
  const signedAt = earliest(proofs.times)
  return { authority: authority.name, identity, ...(issuer === undefined ? {} : { issuer }), ...(signedAt ? { signedAt } : {}) }
}

/**
 * Verifies what came with a signature by a key: log entries and time stamps, by a trusted root.
 * @throws TrustError as `demandSigstore`
 */
export function demandProofsOfKey(
  signed: Signed,
  key: KeyObject,
  authority: Omit<SigstoreAuthority, 'identities'>,
  { now }: { readonly now: Date },
): Date | undefined {
  const instance = readTrustedRoot(authority.trustedRoot)
  const proofs = readProofs(signed)
  const material = { ...instance.material, publicKey: () => ({ publicKey: key, validFor: () => true }) }
  verify(signed, proofs, { $case: 'public-key', hint: '' }, { instance: { ...instance, material }, authority, now })
  return earliest(proofs.times)
}

function verify(signed: Signed, proofs: Proofs, key: SignedEntity['key'], context: VerifyContext): void {
  const { instance, authority, now } = context
  const { material } = instance
  const witnesses = material.timestampAuthorities.length + material.tlogs.length
  const options = {
    tlogThreshold: authority.tlogThreshold ?? Math.min(1, material.tlogs.length),
    // A key needs no time: it is trusted until it is no more.
    timestampThreshold: authority.timestampThreshold ?? (context.leaf ? Math.min(1, witnesses) : 0),
    ctlogThreshold: authority.sctThreshold ?? Math.min(1, material.ctlogs.length),
  }
  const late = proofs.times.find((time) => time.getTime() > now.getTime() + maxSkew)
  if (late)
    throw new TrustError(
      'Expired',
      `The time of signing of ${signed.what} is ${late.toISOString()}, which is to come: check this machine's clock.`,
    )
  const entity: SignedEntity = {
    key,
    signature: signatureOf(signed.content),
    tlogEntries: [...proofs.entries],
    timestamps: timestampsOf(proofs, options.timestampThreshold === 0 && context.leaf !== undefined ? now : undefined),
  }
  try {
    new Verifier(material, options).verify(entity)
  } catch (error) {
    throw refusalOf(error instanceof VerificationError ? error : undefined, error, { signed, proofs, options, context })
  }
  const signer = context.leaf
    ? { key: context.leaf.x509.publicKey, certificate: context.leaf.x509.raw }
    : { key: material.publicKey('').publicKey }
  for (const entry of proofs.entries) demandLoggedSigner(entry, signer, signed.what)
}

/** The verifier takes the times of a chain from here. With `now`, where none is demanded and none came, that is the time. */
function timestampsOf({ entries, stamps }: Proofs, now: Date | undefined): SignedEntity['timestamps'] {
  const timed = entries.filter(hasTime)
  const proven: SignedEntity['timestamps'] = [
    ...timed.map((tlogEntry) => ({ $case: 'transparency-log', tlogEntry }) as const),
    ...stamps.map(({ stamp }) => ({ $case: 'timestamp-authority', timestamp: stamp }) as const),
  ]
  if (proven.length > 0 || now === undefined) return proven
  const tlogEntry = {
    ...TransparencyLogEntry.fromJSON({}),
    logId: { keyId: Buffer.alloc(0) },
    kindVersion: { kind: '', version: '' },
    inclusionPromise: { signedEntryTimestamp: Buffer.alloc(0) },
    integratedTime: String(Math.floor(now.getTime() / 1000)),
  }
  return [{ $case: 'transparency-log', tlogEntry: tlogEntry as unknown as ReadEntry }]
}

function signerCertificate({ what, material }: Signed): Certificate {
  const [first] = material.certificates ?? []
  if (first === undefined)
    throw new TrustError('WrongKey', `A key is named by ${what}, not a certificate: a trusted root vouches for certificates only.`)
  const [der] = refusing('UnknownFormat', `The certificate of ${what} is neither PEM nor DER in base64.`, () =>
    first.includes('-----BEGIN') ? certificatesOfPem(first) : [Buffer.from(first, 'base64')],
  )
  return readCertificate(der ?? new Uint8Array())
}

function signatureOf({ signature, payloadDigest, signedDigest, holds }: SignedContent): SignedEntity['signature'] {
  const hashes = { 32: 'sha256', 48: 'sha384', 64: 'sha512' } as const
  return {
    signature: Buffer.from(signature),
    compareSignature: (other) => same(other, signature),
    compareDigest: (digest) => same(digest, payloadDigest),
    compareSignedDigest: (digest) => {
      const hash = Object.entries(hashes).find(([length]) => Number(length) === digest.length)?.[1]
      const own = hash && signedDigest(hash)
      return own !== undefined && same(digest, own)
    },
    verifySignature: holds,
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function earliest(times: readonly Date[]): Date | undefined {
  return times.length === 0 ? undefined : new Date(Math.min(...times.map((time) => time.getTime())))
}
