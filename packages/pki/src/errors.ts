/** What went wrong with a certificate, a key or a request. */
export type PkiErrorCode = 'KeyUnreadable' | 'KeyNotAllowed' | 'RequestUnreadable' | 'RequestSignature' | 'CertificateUnreadable'

/** Thrown by this package. None passes by itself: the bytes are what they are. */
export class PkiError extends Error {
  override readonly name = 'PkiError'
  readonly transient = false
  readonly code: PkiErrorCode

  constructor(code: PkiErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}
