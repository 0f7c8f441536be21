import { TrustError, type TrustErrorCode } from '../errors.ts'

/**
 * Runs `read`; whatever it throws becomes a TrustError of `code`. Unlike `refusing` also another ground: that a certificate is
 * damaged means another thing in a signature than in what is to be trusted, or in what a service answered.
 */
export function asRefusal<T>(code: TrustErrorCode, message: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof TrustError && cause.code === code) throw cause
    throw new TrustError(code, message, cause)
  }
}
