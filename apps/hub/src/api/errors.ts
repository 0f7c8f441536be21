/** Why the hub's API refused a request: the `code` of its answer. Clients decide by it, never by the message. */
export type ApiErrorCode =
  | 'NotFound'
  | 'MethodNotAllowed'
  | 'BadRequest'
  | 'BodyTooLarge'
  | 'RequestTimeout'
  | 'TooManyRequests'
  | 'IdentityMissing'
  | 'IdentityMismatch'
  | 'IdentityExpired'
  | 'IdentityRevoked'
  | 'UnknownCluster'
  | 'ReportUnknown'
  | 'TokenRefused'
  | 'TokenExpired'
  | 'TokenUsed'
  | 'TokenWrongCluster'
  | 'RequestRefused'
  | 'Unavailable'
  | 'Internal'

const statuses: Record<ApiErrorCode, number> = {
  NotFound: 404,
  MethodNotAllowed: 405,
  BadRequest: 400,
  BodyTooLarge: 413,
  RequestTimeout: 408,
  TooManyRequests: 429,
  IdentityMissing: 401,
  IdentityMismatch: 403,
  IdentityExpired: 401,
  IdentityRevoked: 403,
  UnknownCluster: 404,
  ReportUnknown: 409,
  TokenRefused: 403,
  TokenExpired: 403,
  TokenUsed: 403,
  TokenWrongCluster: 403,
  RequestRefused: 422,
  Unavailable: 503,
  Internal: 500,
}

/** Thrown by handlers; becomes the answer `{code, message}`. `transient`: the same request may succeed later. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: ApiErrorCode
  readonly status: number
  readonly transient: boolean
  readonly retryAfterSeconds?: number

  constructor(code: ApiErrorCode, message: string, options: { readonly cause?: unknown; readonly retryAfterSeconds?: number } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = statuses[code]
    this.transient = this.status === 408 || this.status === 429 || this.status === 503
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds
  }
}
