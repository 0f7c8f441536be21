/** Who may sign, and by what that is proved. The name is what refusals and reports say. */
export type Authority = KeyAuthority | X509Authority | SigstoreAuthority

/** Holders of one of these keys. */
export interface KeyAuthority {
  readonly kind: 'key'
  readonly name: string
  /** SPKI, PEM. */
  readonly publicKeys: readonly string[]
}

/** Holders of a certificate for code signing of an own PKI (RFC 5280), for an identity that a rule allows. */
export interface X509Authority {
  readonly kind: 'x509'
  readonly name: string
  /** PEM; one string may hold several certificates. */
  readonly roots: readonly string[]
  /** PEM; beside those that a signature brings along. */
  readonly intermediates?: readonly string[] | undefined
  readonly identities: readonly IdentityRule[]
  /**
   * Roots of the timestamp authorities (RFC 3161) that are believed, PEM, with the certificates between where time stamps do not
   * carry them. With a time stamp of one of these a certificate must have been valid then; without, it must be valid now.
   */
  readonly timestampAuthorities?: readonly string[] | undefined
  /** Whether a signature without a time stamp is refused. Default false. */
  readonly requireTimestamp?: boolean | undefined
}

/** Holders of an identity that a Sigstore instance vouched for, public or private: Fulcio, Rekor, CT log, timestamp authority. */
export interface SigstoreAuthority {
  readonly kind: 'sigstore'
  readonly name: string
  /** The JSON of a `trusted_root.json` (sigstore_trustroot.proto). */
  readonly trustedRoot: unknown
  readonly identities: readonly IdentityRule[]
  /** How many log entries must hold. Default: 1 where the trusted root names a log, else 0. */
  readonly tlogThreshold?: number | undefined
  /** How many proofs of time must hold, of timestamp authorities or of Rekor v1. Default: 1 where the trusted root names either. */
  readonly timestampThreshold?: number | undefined
  /** How many signed certificate timestamps must hold. Default: 1 where the trusted root names a CT log, else 0. */
  readonly sctThreshold?: number | undefined
}

/**
 * A rule holds when all that it names holds; one rule is enough. A rule that names nothing holds for nobody.
 *
 * Patterns are regular expressions in the syntax of RE2, matched in time that grows with the length only, and always against the
 * whole name: `https://git\.example/team/.*`.
 */
export interface IdentityRule {
  /**
   * Of Sigstore: the OIDC issuer, exact. Of an own PKI: the distinguished name of the certificate's issuer, as
   * `CN=Signing CA,O=Example` (RFC 4514, most specific first).
   */
  readonly issuer?: string | undefined
  readonly issuerPattern?: string | undefined
  /** A subject alternative name (URI, email, DNS name, or Fulcio's other name), exact; of an own PKI also the subject's own name. */
  readonly subject?: string | undefined
  readonly subjectPattern?: string | undefined
}

/** Who signed, as far as an authority vouches for it. */
export interface VerifiedIdentity {
  /** Name of the authority. */
  readonly authority: string
  /** The key's id (`sha256:…` of the SPKI), or the subject alternative name that a rule allowed. */
  readonly identity: string
  /** Who vouched for the identity: OIDC issuer, or the issuing CA's name. */
  readonly issuer?: string | undefined
  /** By when it was signed: the earliest time that a time stamp or a log proves. */
  readonly signedAt?: Date | undefined
}
