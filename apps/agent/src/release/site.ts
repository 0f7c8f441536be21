import { type ReleaseSite, releaseReasons } from '@muster/api'
import { assessRelease } from './assess.ts'
import type { Step } from './context.ts'
import type { Hold, Suspension } from './obey.ts'
import { contentOf, type Outcome, type ReleaseRuntime } from './runtime.ts'

/** Takes up what is said of the release: from here on drift is left alone, or looked for again. */
export function takeSuspension(runtime: ReleaseRuntime, suspended: Suspension | undefined): void {
  // What others did meanwhile is looked for.
  if (runtime.suspended !== undefined && suspended === undefined) runtime.rechecked = false
  runtime.suspended = suspended
}

const lookAgainMs = 10 * 60_000

/** Nothing is done with what is suspended: not applied, not corrected, not pruned. How it stands is told all the same. */
export const suspend: Step = async ({ watches }, { runtime, wanted }) => {
  const { suspended, applied } = runtime
  if (suspended === undefined) return undefined
  const told = toldOf(suspended)
  const outcome = { reason: releaseReasons.suspended, requeueAfterMs: lookAgainMs }
  if (applied === undefined) return { ...outcome, ready: false, message: `${told} What runs is not looked at until it is resumed.` }
  const { ready, message } = assessRelease(runtime, watches)
  if (contentOf(wanted) === applied.content) return { ...outcome, ready, message: `${told} ${message}` }
  const stays =
    wanted.bundle.digest === applied.digest
      ? 'Other settings are wanted, and those that it has stay.'
      : `Version ${wanted.bundle.version} is wanted, and version ${applied.version} stays.`
  return { ...outcome, ready: false, message: `${told} ${stays} ${message}` }
}

function toldOf({ by, since, reason }: Suspension): string {
  return `Suspended by the ${by}${sinceText(since)}: ${ended(reason)}`
}

function sinceText(since: string | undefined): string {
  return since === undefined ? '' : ` since ${since}`
}

function ended(reason: string): string {
  return /[.!?]$/.test(reason) ? reason : `${reason}.`
}

/** What is healthy at a version at which the site holds it is said to be so: that is the site's decision, and no fault. */
export function orHeld(outcome: Outcome, held: Hold | undefined): Outcome {
  if (held?.wanted === undefined || !outcome.ready || outcome.reason !== releaseReasons.healthy) return outcome
  const { version, wanted, reason, since } = held
  const message = `The site holds it at version ${version}${sinceText(since)}, and version ${wanted} is wanted: ${ended(reason)} ${outcome.message}`
  return { ...outcome, reason: releaseReasons.held, message }
}

/** How a suspended release stands that the channel does not have any more. */
export function suspendedRemoval(suspended: Suspension): Outcome {
  const message = `${toldOf(suspended)} It is not wanted any more, and stays as it is until it is resumed.`
  return { ready: false, reason: releaseReasons.suspended, message, requeueAfterMs: lookAgainMs }
}

/** What is held at something that never ran here takes nothing. */
export const demandKnownHold: Step = async (_services, { runtime }) => {
  const { held } = runtime
  if (held === undefined || held.version !== undefined) return undefined
  return {
    ready: false,
    reason: releaseReasons.holdUnknown,
    message: `The site holds it at ${held.digest}, which never ran here: nothing is taken. Hold it at a digest of its history (status.history), or resume it.`,
    requeueAfterMs: lookAgainMs,
  }
}

/** Has all of it done again where the site asks for that, whatever was done lately. */
export function reconcileNow(runtime: ReleaseRuntime, site: ReleaseSite | undefined): void {
  if (site?.reconcileAt === undefined || site.reconcileAt === runtime.reconciledAt) return
  runtime.reconciledAt = site.reconcileAt
  runtime.asked = true
  runtime.applyFailed = undefined
  runtime.pruneFailed = undefined
}
