import { createHash } from 'node:crypto'
import { type GoodVersion, maxShapeLength, type ReleaseReason, type ReleaseSettings, type Rollback, releaseReasons } from '@muster/api'
import { beginTrial, lookAtTrial, pauseTrial, resumeTrial, type TrialLimits } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import { assessRelease } from './assess.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import { contentOf, type Outcome, type ReleaseRuntime } from './runtime.ts'

const defaultDeadlineSeconds = 600
const defaultMinHealthySeconds = 10

export function limitsOf({ settings }: Pick<ChannelRelease, 'settings'>): TrialLimits {
  const { progressDeadlineSeconds = defaultDeadlineSeconds, minHealthySeconds = defaultMinHealthySeconds } = settings?.rollout ?? {}
  return { deadlineMs: progressDeadlineSeconds * 1000, minHealthyMs: minHealthySeconds * 1000 }
}

/**
 * Stands for a version with all that decides whether it can become healthy. How it is kept, pruned, suspended or judged is not part of it: a
 * change of these is no reason to try again what failed.
 */
export function keyOf({ bundle, namespace, settings }: ChannelRelease): string {
  const { customize, sealed, conflicts, adopt, tenant, site } = (settings ?? {}) as ReleaseSettings & { readonly site?: unknown }
  const text = JSON.stringify([bundle.digest, namespace, customize, sealed, conflicts, adopt, tenant, site])
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** What of its settings shapes its objects. */
function shapeOf(settings: ReleaseSettings | undefined): string {
  const { customize, sealed } = settings ?? {}
  return JSON.stringify({ customize, sealed })
}

function goodOf(entry: ChannelRelease): GoodVersion {
  const { repository, version, digest, size } = entry.bundle
  const shape = shapeOf(entry.settings)
  return {
    key: keyOf(entry),
    bundle: { repository, version, digest, size },
    ...(entry.namespace === undefined ? {} : { namespace: entry.namespace }),
    ...(shape.length > maxShapeLength ? {} : { shape }),
  }
}

/** The release as it was when it was good: content and what shapes it are those of then, everything that grants or bounds is of now. */
export function entryOfGood(entry: ChannelRelease, { bundle, namespace, shape }: GoodVersion): ChannelRelease {
  const { namespace: _, settings, ...rest } = entry
  const { customize, sealed, ...kept } = settings ?? {}
  const then = shape === undefined ? { customize, sealed } : (JSON.parse(shape) as Pick<ReleaseSettings, 'customize' | 'sealed'>)
  const shaped = Object.fromEntries(Object.entries({ ...kept, ...then }).filter(([, value]) => value !== undefined)) as ReleaseSettings
  return {
    ...rest,
    bundle,
    ...(namespace === undefined ? {} : { namespace }),
    ...(Object.keys(shaped).length === 0 ? {} : { settings: shaped }),
  }
}

/** The release as it is to be: the last good version in place of one that has failed, as long as the channel asks for that very one. */
export function obeyRollback(
  entry: ChannelRelease,
  { rollback, good, held }: Pick<ReleaseRuntime, 'rollback' | 'good' | 'held'>,
): ChannelRelease | undefined {
  // What the site holds, it holds.
  if (held !== undefined || rollback === undefined || good === undefined || rollback.key !== keyOf(entry)) return undefined
  return entry.settings?.rollout?.onFailure === 'stay' ? undefined : entryOfGood(entry, good)
}

/** From here on a version must show that it becomes healthy: it is about to be applied, and was not good before. */
export function putOnTrial({ runtime, entry, rolledBack }: ReleaseContext, now: Date): void {
  const key = keyOf(entry)
  if (rolledBack || runtime.held !== undefined || runtime.trial?.key === key) return
  runtime.failedKey = undefined
  // One that was healthy when it was overtaken is the best that is known.
  runtime.good = runtime.candidate ?? runtime.good
  runtime.candidate = undefined
  runtime.trial = undefined
  // What has failed may be asked for again once something else was tried.
  if (runtime.rollback?.key !== key) runtime.rollback = undefined
  if (runtime.good?.key === key) return
  const { trialBefore } = runtime
  runtime.trialBefore = undefined
  runtime.trial = trialBefore?.key === key ? resumeTrial(trialBefore, limitsOf(entry), now) : beginTrial(key, now)
}

/** Reasons of what is left of an earlier version: they say nothing of the one that is tried. */
const prunes: ReadonlySet<ReleaseReason> = new Set<ReleaseReason>([
  releaseReasons.pruning,
  releaseReasons.pruneNeedsConsent,
  releaseReasons.protectedNeedsConsent,
])

/** Reasons of a version that is being tried; with any other nothing of it is tried now, so that no time passes for it. */
const tried: ReadonlySet<ReleaseReason> = new Set<ReleaseReason>([
  releaseReasons.healthy,
  releaseReasons.progressing,
  releaseReasons.degraded,
  releaseReasons.applyFailed,
  ...prunes,
])

/**
 * What a pass comes to, for a version that is on trial: it has proved itself, goes on, or has failed and is taken back. Nothing waits here.
 * A version that was good is never on trial again: what happens to it later is no fault of the release.
 */
export function judge(services: ReleaseServices, context: ReleaseContext, outcome: Outcome): Outcome {
  const { runtime, entry } = context
  if (context.rolledBack) return goneBack(services, context, outcome)
  const { trial } = runtime
  const now = services.clock.now()
  // A hook that has failed does not succeed by waiting.
  if (outcome.reason === releaseReasons.hookFailed && runtime.held === undefined) return failed(services, context, outcome)
  if (trial === undefined || runtime.held !== undefined || trial.key !== keyOf(entry)) {
    if (outcome.ready && runtime.good?.key === keyOf(entry)) forgetFailed(runtime, entry)
    return outcome
  }
  if (!outcome.ready && !tried.has(outcome.reason)) {
    runtime.trial = pauseTrial(trial, now)
    runtime.candidate = undefined
    return outcome
  }
  const healthy = outcome.ready || (prunes.has(outcome.reason) && assessRelease(runtime, services.watches).ready)
  const looked = lookAtTrial(trial, healthy, limitsOf(entry), now)
  runtime.trial = looked.trial
  runtime.candidate = healthy ? goodOf(entry) : undefined
  if (looked.verdict === 'good') {
    runtime.good = runtime.candidate
    runtime.candidate = undefined
    runtime.trial = undefined
    runtime.rollback = undefined
    // What waited for this, such as the prune of what holds data, goes on.
    return { ...outcome, requeueAfterMs: 0 }
  }
  if (looked.verdict === 'failed') return failed(services, context, outcome)
  return { ...outcome, requeueAfterMs: Math.min(outcome.requeueAfterMs ?? looked.againMs, looked.againMs) }
}

/** The last good version is what is wanted: one that failed may be asked for again, and runs its hooks again then. */
function forgetFailed(runtime: ReleaseRuntime, entry: ChannelRelease): void {
  runtime.rollback = undefined
  if (runtime.hooks?.key !== keyOf(entry)) runtime.hooks = undefined
}

/** A deadline has passed. The decision is written down with this pass, before anything is done for it, and is taken once. */
function failed({ clock, logger, tell }: ReleaseServices, context: ReleaseContext, outcome: Outcome): Outcome {
  const { runtime, entry } = context
  const { good } = runtime
  const { version, digest } = entry.bundle
  const why = whyItFailed(version, outcome.reason, limitsOf(entry))
  const stays = whyItStays(entry, good)
  if (good === undefined || stays !== undefined) {
    runtime.failedKey = keyOf(entry)
    const told: Outcome = { ...outcome, ready: false, reason: why.reason, message: `${why.text} ${outcome.message} ${stays}` }
    if (runtime.outcome?.reason !== told.reason) tell(runtime, told.reason, told.message)
    return told
  }
  runtime.rollback = {
    key: keyOf(entry),
    from: { version, digest },
    to: { version: good.bundle.version, digest: good.bundle.digest },
    at: clock.now().toISOString(),
    reason: outcome.reason,
    message: outcome.message.slice(0, 2000),
  }
  runtime.trial = undefined
  const message = `${why.text} ${outcome.message} It goes back to version ${good.bundle.version}.`
  logger.warn({ release: runtime.name, from: digest, to: good.bundle.digest, reason: outcome.reason }, 'a version failed and is taken back')
  tell(runtime, why.reason, message)
  return { ready: false, reason: why.reason, message, requeueAfterMs: 0 }
}

/** In which way a version failed: a hook of it did, or its time was over. */
function whyItFailed(
  version: string,
  reason: string,
  { deadlineMs }: TrialLimits,
): { readonly reason: ReleaseReason; readonly text: string } {
  if (reason === releaseReasons.hookFailed) return { reason: releaseReasons.hookFailed, text: `Version ${version} failed:` }
  return {
    reason: releaseReasons.progressDeadlineExceeded,
    text: `Version ${version} did not become healthy within ${deadlineMs / 1000} s:`,
  }
}

/** Why a version that failed is not taken back; undefined where it is. */
function whyItStays(entry: ChannelRelease, good: GoodVersion | undefined): string | undefined {
  if (entry.settings?.rollout?.onFailure === 'stay') return 'It stays, as its placement says (rollout.onFailure: stay).'
  if (good === undefined) return 'No version before it was healthy here, so there is none to go back to.'
  const same = good.bundle.digest === entry.bundle.digest && good.namespace === entry.namespace
  if (same && good.shape === undefined)
    return 'The settings that were good are too large to have been kept, so there is nothing to go back to.'
  return same && good.shape === shapeOf(entry.settings) ? 'What was good before is the same, so there is nothing to go back to.' : undefined
}

/** Whether what a version wants run when it has failed did not come to its end. */
export function awaitsFailureHooks({ hooks }: Pick<ReleaseRuntime, 'hooks'>, key: string): boolean {
  return hooks?.key === key && hooks.onFailure !== undefined
}

/** How a release stands that was taken back: as the channel does not want it, however well it runs. */
function goneBack({ tell }: ReleaseServices, { runtime, entry, wanted }: ReleaseContext, outcome: Outcome): Outcome {
  const { rollback, applied, complete } = runtime
  if (rollback === undefined || outcome.reason === releaseReasons.suspended) return outcome
  const told = rolledBackText(rollback, limitsOf(entry))
  if (!complete || applied?.content !== contentOf(entry) || awaitsFailureHooks(runtime, keyOf(wanted))) {
    const message = `${told} It goes back to version ${rollback.to.version}: ${outcome.message}`
    const { reason } = whyItFailed(rollback.from.version, rollback.reason, limitsOf(entry))
    return { ...outcome, ready: false, reason, message }
  }
  const how = outcome.ready ? 'It is healthy.' : outcome.message
  const message = `${told} Version ${rollback.to.version} runs again. ${how} Another version, or other settings, are tried at once.`
  if (runtime.outcome !== undefined && runtime.outcome.reason !== releaseReasons.rolledBack)
    tell(runtime, releaseReasons.rolledBack, message)
  return { ...outcome, ready: false, reason: releaseReasons.rolledBack, message }
}

function rolledBackText({ from, at, reason, message }: Rollback, limits: TrialLimits): string {
  return `${whyItFailed(from.version, reason, limits).text.slice(0, -1)} (until ${at}): ${message}`
}
