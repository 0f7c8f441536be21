/**
 * What went wrong in the hub.
 *
 * - `SettingsInvalid`: an environment variable or a mounted file is missing or wrong; the hub does not start.
 * - `PublishersUnreadable`: the ConfigMap of publishers is missing, or a key in it is none.
 * - `PolicyInvalid`: a TrustPolicy cannot be used as it is written.
 * - `BundleMissing`: a placement names a bundle that is not in the registry.
 */
export type HubErrorCode = 'SettingsInvalid' | 'PublishersUnreadable' | 'PolicyInvalid' | 'BundleMissing'

/** Thrown by the hub itself; what packages throw keeps their own class. */
export class HubError extends Error {
  override readonly name = 'HubError'
  readonly code: HubErrorCode
  readonly transient: boolean

  constructor(code: HubErrorCode, message: string, options: { readonly transient?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? false
  }
}
