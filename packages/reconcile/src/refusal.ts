export type ApplyRefusalCode =
  | 'OwnedByOtherRelease'
  | 'Terminating'
  | 'NotEstablished'
  | 'Conflict'
  | 'NotAdopted'
  | 'MadeMeanwhile'
  | 'Immutable'

const passing: ReadonlySet<ApplyRefusalCode> = new Set(['Terminating', 'NotEstablished', 'MadeMeanwhile'])

/**
 * Why an object was not applied, where only this package knows; `applyPlan` turns it into a failure.
 *
 * | code | when | what to do |
 * | --- | --- | --- |
 * | OwnedByOtherRelease | another release made it | take it out of one of the two bundles |
 * | NotAdopted | it was there before, made by somebody else | let the release adopt it (`adopt`), or delete it |
 * | MadeMeanwhile | it was planned as missing, and somebody else made it before it was applied | nothing: it is planned anew, as somebody else's |
 * | Conflict | another field manager owns a field that the bundle sets | take it from that manager (`conflicts.takeFrom`), or take the field out of the bundle |
 * | Immutable | its kind does not let a field be changed | declare `muster.dev/recreate`, or give the new one another name |
 * | Terminating | it is being deleted | nothing: it is made again when it is gone |
 * | NotEstablished | a definition is not served in time | look at its conditions |
 */
export class ApplyRefusal extends Error {
  override readonly name = 'ApplyRefusal'
  readonly code: ApplyRefusalCode
  readonly transient: boolean

  constructor(code: ApplyRefusalCode, message: string) {
    super(message)
    this.code = code
    this.transient = passing.has(code)
  }
}
