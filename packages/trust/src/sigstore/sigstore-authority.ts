import { createHash } from 'node:crypto'
import type { SignedEnvelope } from '../signature/envelope.ts'
import type { SigstoreAuthority, VerifiedIdentity } from './authority.ts'
import { onlySignature } from './key-authority.ts'
import { signatureHolds } from './signature-check.ts'
import { demandEntity, type SignedContent } from './sigstore-entity.ts'

/**
 * Verifies a signature by a certificate that a Sigstore instance issued: log entries, time stamps, SCTs, chain at the time of
 * signing, identity, signature.
 * @throws TrustError `WrongKey`, `IdentityNotAllowed`, `Expired`, `UnknownFormat`, `DataDamaged`, `NoneFound`, `AuthorityInvalid`
 */
export function verifyBySigstore(
  envelope: SignedEnvelope,
  authority: SigstoreAuthority,
  options: { readonly now: Date },
): VerifiedIdentity {
  const content: SignedContent = {
    signature: onlySignature(envelope),
    payloadDigest: createHash('sha256').update(envelope.payload).digest(),
    signedDigest: (algorithm) => createHash(algorithm).update(envelope.signed).digest(),
    holds: (key) => signatureHolds(envelope.signed, key, onlySignature(envelope)),
  }
  return demandEntity({ what: envelope.referrer, content, material: envelope.material, bundle: envelope.bundle }, authority, options)
}
