/** What went wrong while the fleet was set up or asked. */
export type FleetErrorCode =
  | 'NotReady'
  | 'RolledBack'
  | 'Held'
  | 'NoHub'
  | 'UnknownCluster'
  | 'UnknownPlacement'
  | 'NoSealingKey'
  | 'DependencyCycle'
  | 'NameTaken'
  | 'MemberElsewhere'
  | 'UnknownBundle'
  | 'UnknownRelease'
  | 'NeedsConsent'
  | 'UnknownVersion'
  | 'NoBreakGlass'
  | 'BreakGlassRefused'
  | 'KeysDamaged'

/** Thrown by this package. `transient` where waiting may help. */
export class FleetError extends Error {
  override readonly name = 'FleetError'
  readonly code: FleetErrorCode
  readonly transient: boolean

  constructor(code: FleetErrorCode, message: string, options: { readonly transient?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.transient = options.transient ?? false
  }
}
