/**
 * Why a signature or an attestation does not count under a policy. Closed: each answer names one of these, never just "unsigned".
 *
 * - `NoneFound`: nothing of the kind hangs on the artifact.
 * - `UnknownFormat`: there is something, in a format that is not read here, or not well-formed.
 * - `WrongKey`: made by a key that is not among the trusted ones.
 * - `IdentityNotAllowed`: made with a certificate that holds, for an identity that no rule allows.
 * - `Expired`: the certificate, the key or the trusted root was outside its time.
 * - `TooOld`: older than the policy allows.
 * - `PredicateRefused`: what it says does not meet the policy's rule, or the schema of its type.
 * - `RegistryUnreachable`: the registry could not be asked: no verdict.
 * - `DataDamaged`: bytes differ from the digest by which they were asked for, or from what was signed.
 */
export type RefusalReason =
  | 'NoneFound'
  | 'UnknownFormat'
  | 'WrongKey'
  | 'IdentityNotAllowed'
  | 'Expired'
  | 'TooOld'
  | 'PredicateRefused'
  | 'RegistryUnreachable'
  | 'DataDamaged'

/**
 * What was refused, and on what ground. The codes of signatures and of damage are also reasons of a `Release`.
 *
 * - `SignatureMissing`: no signature, or fewer publishers than needed have signed.
 * - `SignatureWrongKey`: signatures are there, none by a key that is trusted here.
 * - `SignatureInvalid`: a signature that claims a trusted key does not hold, does not name this artifact, or is not understood.
 * - `DataDamaged`: bytes differ from the digest by which they were asked for.
 * - `KeyUnreadable`: no key, or a damaged one. `KeyNotAllowed`: of a kind that is not used here. `KeyPassphrase`: its passphrase is
 *   missing or wrong. `KeyProvider`: the token or its tool did not do what was asked.
 * - `StatementInvalid`: what was to be signed is no statement of its type.
 * - `AuthorityInvalid`: roots, a trusted root or identity rules to verify by cannot be used.
 * - `ServiceUnreachable`: a service that signing needs (Fulcio, Rekor, a timestamp authority) does not answer. `ServiceRefused`: it
 *   answered, and not with what was asked for.
 * - `PolicyInvalid`: a trust policy cannot be used as it is written, so nothing is verified by it.
 * - `RootChainBroken`: a root between the trusted one and the offered one is missing, so a revocation could be skipped.
 */
export type TrustErrorCode =
  | RefusalReason
  | 'KeyUnreadable'
  | 'KeyNotAllowed'
  | 'KeyPassphrase'
  | 'KeyProvider'
  | 'StatementInvalid'
  | 'AuthorityInvalid'
  | 'ServiceUnreachable'
  | 'ServiceRefused'
  | 'SignatureMissing'
  | 'SignatureWrongKey'
  | 'SignatureInvalid'
  | 'PolicyInvalid'
  | 'RootMalformed'
  | 'RootSignature'
  | 'RootChainBroken'
  | 'ChannelMalformed'
  | 'ChannelSignature'
  | 'ChannelWrongCluster'
  | 'ChannelRollback'

/**
 * Thrown by this package. Few pass by themselves, as the bytes are what they are: a registry may answer again, and damage on the
 * way may be gone when the bytes are fetched again.
 */
export class TrustError extends Error {
  override readonly name = 'TrustError'
  readonly code: TrustErrorCode
  readonly transient: boolean

  constructor(code: TrustErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.transient = code === 'DataDamaged' || code === 'RegistryUnreachable' || code === 'ServiceUnreachable'
  }
}

/** Runs `read`; whatever it throws that is not a TrustError becomes one of `code`. For parsers of bytes from outside. */
export function refusing<T>(code: TrustErrorCode, message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof TrustError) throw cause
    throw new TrustError(code, message, cause)
  }
}
