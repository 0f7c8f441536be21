/**
 * What was refused, and on what ground. The codes of signatures and of damage are also reasons of a `Release`.
 *
 * - `SignatureMissing`: no signature, or fewer publishers than needed have signed.
 * - `SignatureWrongKey`: signatures are there, none by a key that is trusted here.
 * - `SignatureInvalid`: a signature that claims a trusted key does not hold, does not name this artifact, or is not understood.
 * - `DataDamaged`: bytes differ from the digest by which they were asked for.
 * - `RootChainBroken`: a root between the trusted one and the offered one is missing, so a revocation could be skipped.
 */
export type TrustErrorCode =
  | 'KeyUnreadable'
  | 'KeyNotAllowed'
  | 'SignatureMissing'
  | 'SignatureWrongKey'
  | 'SignatureInvalid'
  | 'DataDamaged'
  | 'RootMalformed'
  | 'RootSignature'
  | 'RootChainBroken'
  | 'ChannelMalformed'
  | 'ChannelSignature'
  | 'ChannelWrongCluster'
  | 'ChannelRollback'

/**
 * Thrown by this package. None passes by itself, as the bytes are what they are; only damage on the way may be gone when they
 * are fetched again.
 */
export class TrustError extends Error {
  override readonly name = 'TrustError'
  readonly code: TrustErrorCode
  readonly transient: boolean

  constructor(code: TrustErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.transient = code === 'DataDamaged'
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
