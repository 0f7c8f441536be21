/** What went wrong in the host. */
export type HostErrorCode =
  | 'InstanceInvalid'
  | 'ClusterInvalid'
  | 'ClusterUnknown'
  | 'ComponentUnknown'
  | 'TooManyClusters'
  | 'AddressesTaken'
  | 'CommandFailed'
  | 'NotReady'
  | 'ImageDigest'
  | 'Locked'
  | 'NotConfigured'
  | 'StateUnreadable'
  | 'Unreachable'
  | 'BadRequest'
  | 'SettingsInvalid'
  | 'Stopped'

/** Codes that may pass by themselves; the others need a person. */
const passing: ReadonlySet<HostErrorCode> = new Set<HostErrorCode>(['NotReady', 'Unreachable', 'Locked'])

/** The error of this package. `message` says what happened, to which object, and what to do next. */
export class HostError extends Error {
  override readonly name = 'HostError'
  readonly code: HostErrorCode
  readonly transient: boolean

  constructor(code: HostErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.transient = passing.has(code)
  }
}

/** The message of anything thrown, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
