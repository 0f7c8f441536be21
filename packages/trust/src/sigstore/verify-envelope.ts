import type { SignedEnvelope } from '../signature/envelope.ts'
import type { Authority, VerifiedIdentity } from './authority.ts'
import { demandKey } from './key-authority.ts'
import { type Signed, signedOfEnvelope } from './signed.ts'

/**
 * Verifies that a signature holds and was made by one for whom the authority vouches. What the payload says is not judged here.
 * Nothing is asked of the network. What certificates need is loaded when the first of them is met: an agent that knows only keys
 * never loads it.
 * @throws TrustError by a `RefusalReason`: `WrongKey`, `IdentityNotAllowed`, `Expired`, `UnknownFormat`, `DataDamaged`
 * @throws TrustError `KeyUnreadable`, `KeyNotAllowed`, `AuthorityInvalid` where the authority itself is at fault
 */
export async function verifyEnvelope(
  envelope: SignedEnvelope,
  authority: Authority,
  options: { readonly now: Date },
): Promise<VerifiedIdentity> {
  return demandAuthority(signedOfEnvelope(envelope), authority, options)
}

/** As `verifyEnvelope`, of whatever was signed. */
export async function demandAuthority(signed: Signed, authority: Authority, options: { readonly now: Date }): Promise<VerifiedIdentity> {
  switch (authority.kind) {
    case 'key':
      return demandKey(signed, authority)
    case 'x509':
      return (await import('./x509-authority.ts')).demandCertificate(signed, authority, options)
    case 'sigstore':
      return (await import('./sigstore-authority.ts')).demandSigstore(signed, authority, options)
  }
}
