/**
 * Why an operation on a registry or layout failed.
 *
 * - `NotFound`: the blob, manifest, tag or layout is not there (a real answer, never an outage).
 * - `Unauthorized`: credentials are missing or refused. `Denied`: known, but not allowed to do this.
 * - `DigestMismatch`, `SizeMismatch`: content is not what its descriptor says. Never retried: treat as tampering or damage.
 * - `TooLarge`: over a limit of the reader or of the registry.
 * - `Unreachable`, `Timeout`, `TooManyRequests`, `ServerError`: may pass; `transient` is true.
 * - `Untrusted`: the TLS certificate does not verify.
 * - `BadResponse`: the peer does not speak the protocol. `InvalidManifest`, `InvalidJson`, `InvalidArchive`: content does not parse.
 * - `InvalidReference`, `InvalidDigest`: a name that the caller gave is malformed.
 * - `Unsupported`: media type, digest algorithm or operation that is not handled. `Rejected`: the registry refused the content.
 * - `Storage`: the local disk failed.
 */
export type OciErrorCode =
  | 'NotFound'
  | 'Unauthorized'
  | 'Denied'
  | 'DigestMismatch'
  | 'SizeMismatch'
  | 'TooLarge'
  | 'Unreachable'
  | 'Timeout'
  | 'TooManyRequests'
  | 'ServerError'
  | 'Untrusted'
  | 'BadResponse'
  | 'InvalidManifest'
  | 'InvalidJson'
  | 'InvalidArchive'
  | 'InvalidReference'
  | 'InvalidDigest'
  | 'Unsupported'
  | 'Rejected'
  | 'Storage'

const transientCodes: ReadonlySet<OciErrorCode> = new Set<OciErrorCode>(['Unreachable', 'Timeout', 'TooManyRequests', 'ServerError'])

/** The only error class of this package. An aborted call throws the signal's reason instead. */
export class OciError extends Error {
  override readonly name = 'OciError'
  readonly code: OciErrorCode
  /** Whether the same call may succeed later. */
  readonly transient: boolean
  /** HTTP status, where a registry answered. */
  readonly status?: number
  /** What the registry asked to wait, in milliseconds. */
  readonly retryAfterMs?: number

  constructor(code: OciErrorCode, message: string, options: { cause?: unknown; status?: number; retryAfterMs?: number | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = transientCodes.has(code)
    if (options.status !== undefined) this.status = options.status
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }
}
