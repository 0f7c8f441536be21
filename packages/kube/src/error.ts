/**
 * What went wrong, as a closed set.
 *
 * | code | when | what to do |
 * | --- | --- | --- |
 * | NotFound | the server knows the kind but not this object | create it, or take it as gone |
 * | UnknownKind | the server does not serve this kind (yet) | install its CRD; passes when it is there |
 * | AlreadyExists, Conflict | somebody was first, or owns the field | read again and decide again |
 * | Invalid | the server refuses the content | correct the object |
 * | Forbidden, Unauthorized | not allowed, not recognised | grant the right, renew the credential |
 * | Gone | the resourceVersion is too old | list again |
 * | TooManyRequests, Timeout, ServerError, Unreachable | the server is busy, slow, ill, away | try later (`retryAfterMs` if the server said) |
 * | Silent | a watch said nothing for longer than the server promises | watch again |
 * | BadResponse | the answer is not what the API promises, or larger than the limit | look at the server or the proxy before it |
 * | NotSupported | the server does not do this to this kind | use another verb |
 * | Config | the client was configured wrongly | correct the kubeconfig |
 * | Aborted | the caller's signal ended it | nothing |
 * | LeaderLost | another instance leads | stop, and stand for election again |
 */
export type KubeErrorCode =
  | 'NotFound'
  | 'UnknownKind'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Invalid'
  | 'Forbidden'
  | 'Unauthorized'
  | 'Gone'
  | 'TooManyRequests'
  | 'Timeout'
  | 'ServerError'
  | 'Unreachable'
  | 'Silent'
  | 'BadResponse'
  | 'NotSupported'
  | 'Config'
  | 'Aborted'
  | 'LeaderLost'

/** `metav1.StatusDetails`: which object, and each cause with its field. */
export interface StatusDetails {
  readonly name?: string
  readonly kind?: string
  readonly group?: string
  readonly uid?: string
  readonly causes?: readonly StatusCause[]
}

export interface StatusCause {
  readonly reason?: string
  readonly message?: string
  readonly field?: string
}

export interface KubeErrorOptions {
  readonly transient?: boolean
  readonly status?: number
  readonly retryAfterMs?: number
  readonly details?: StatusDetails
  readonly cause?: unknown
}

const transientCodes: ReadonlySet<KubeErrorCode> = new Set([
  'UnknownKind',
  'Conflict',
  'Gone',
  'TooManyRequests',
  'Timeout',
  'ServerError',
  'Unreachable',
  'Silent',
  'LeaderLost',
])

/** The one error of this package. `transient`: the same call may succeed later without anybody changing anything. */
export class KubeError extends Error {
  override readonly name = 'KubeError'
  readonly code: KubeErrorCode
  readonly transient: boolean
  /** HTTP status, where a server answered. */
  readonly status?: number
  /** How long the server asked to wait, in milliseconds. */
  readonly retryAfterMs?: number
  readonly details?: StatusDetails

  constructor(code: KubeErrorCode, message: string, options: KubeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? transientCodes.has(code)
    if (options.status !== undefined) this.status = options.status
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
    if (options.details !== undefined) this.details = options.details
  }
}

/** True for a KubeError, with one of the codes if any are given. */
export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code))
}
