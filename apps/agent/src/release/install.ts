import { type ReleaseReason, releaseReasons } from '@muster/api'
import { type ClusterApi, inventoryWith, isHookJob, nameOf, type ObjectFailure, type Plan, subtractInventory } from '@muster/reconcile'
import { BundleRefusal, type LoadedBundle } from '../bundle-loader.ts'
import { backoffMs } from '../clock.ts'
import { codeOf, messageOf } from '../error.ts'
import { applyStage } from './apply-stage.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import { actFor } from './grant.ts'
import { isRefusal } from './handover.ts'
import { beginHooks, hookFailed, runHook } from './hooks.ts'
import { timesOf, tooEarly } from './patience.ts'
import { recheck } from './recheck.ts'
import { planOf, ranBefore, verified } from './release-bundle.ts'
import { bearsGeneration } from './release-object.ts'
import { entryOfGood, putOnTrial } from './rollback.ts'
import { beginRollout, waitsForWave } from './rollout.ts'
import { contentOf, type Outcome, type Rollout } from './runtime.ts'
import { tooLarge } from './size.ts'
import { waitsForChannel } from './stale.ts'
import { takeOver, takeWishes, withoutMoved } from './wishes.ts'

const refusedAgainMs = 30_000
const unreachableAgainMs = 5_000
const applyBackoff = { baseMs: 1_000, maxMs: 60_000 }
/** An object that is refused for its content may pass when something else changed, such as a quota. */
const refusedObjectAgainMs = 60_000

/** Brings the release to the bundle that the channel wants, when it is not there yet. */
export const install: Step = async (services, context) => {
  const { entry, content, runtime } = context
  const trust = services.trust.key(content)
  const { applied, rollout } = runtime
  const current = applied !== undefined && runtime.complete && applied.content === contentOf(entry)
  if (current && applied.trust === trust && !runtime.asked) return undefined
  // The site may ask for more than the channel: before that is known nothing is taken, and what runs is left as it is.
  if (trust === undefined) return current ? undefined : waitsForPolicies
  if (context.expiredAt !== undefined && !current && !ranBefore(context)) {
    await keepWhatRuns(services, context)
    return waitsForChannel(context.expiredAt, entry.bundle.version)
  }
  const early = runtime.asked ? undefined : tooEarly(runtime.applyFailed, contentOf(entry), services.clock.now())
  if (early !== undefined) return early
  if (rollout?.content === contentOf(entry) && rollout.trust === trust && !runtime.asked) return advance(services, context, rollout)
  let bundle: LoadedBundle
  try {
    bundle = await verified(services, context, entry.bundle, ranBefore(context))
  } catch (error) {
    if (!(error instanceof BundleRefusal)) throw error
    runtime.asked = false
    await keepWhatRuns(services, context)
    return refused(error)
  }
  if (!current) putOnTrial(context, services.clock.now())
  const outcome = await applyBundle(services, context, bundle, trust, { hooks: !context.rolledBack && runtime.held === undefined })
  if (outcome !== undefined && keptMeanwhile.has(outcome.reason)) await keepWhatRuns(services, context)
  return outcome
}

/** With these nothing of a bundle was applied, or nothing of it goes on. */
const keptMeanwhile: ReadonlySet<ReleaseReason> = new Set<ReleaseReason>([
  releaseReasons.notGranted,
  releaseReasons.tooLarge,
  releaseReasons.hookFailed,
])

function refused(error: BundleRefusal): Outcome {
  const requeueAfterMs = error.reason === releaseReasons.registryUnreachable ? unreachableAgainMs : refusedAgainMs
  return { ready: false, reason: error.reason, message: error.message, requeueAfterMs }
}

/**
 * After a restart, with a new bundle that is refused: what ran before is taken up again, so that its drift is corrected.
 * It is verified like any other; where that cannot be done now, or what the site makes different was not read yet, what runs is left alone.
 */
export async function keepWhatRuns(services: ReleaseServices, context: ReleaseContext): Promise<void> {
  const { runtime, entry, site, content, signal } = context
  // What failed and may be taken back in part already is not put together again.
  if (site === undefined || context.rolledBack || runtime.applied !== undefined || runtime.remembered === undefined) return
  const { digest, version } = runtime.remembered
  if (digest === entry.bundle.digest) return
  try {
    const trust = services.trust.key(content)
    if (trust === undefined) return
    // With what shaped it, where that is known.
    const kept = runtime.good?.bundle.digest === digest ? { ...context, entry: entryOfGood(entry, runtime.good) } : context
    const bundle = await verified(services, kept, { repository: kept.entry.bundle.repository, version, digest }, true)
    await applyBundle(services, kept, bundle, trust, { hooks: false })
  } catch (error) {
    if (signal.aborted) throw signal.reason
    services.logger.warn(
      { release: runtime.name, digest, code: codeOf(error), reason: messageOf(error) },
      'what runs cannot be verified now; its drift is not corrected',
    )
  }
}

/** Looked at again so soon, in milliseconds. */
const policiesAgainMs = 500
const waitsForPolicies: Outcome = {
  ready: false,
  reason: releaseReasons.progressing,
  message: "The site's own policies (EnclavePolicy) were not read yet; nothing is taken before.",
  requeueAfterMs: policiesAgainMs,
  reading: true,
}

/** Reads what a release wants that waits for others, so that they know what becomes of objects which move between them. */
export async function foresee(services: ReleaseServices, context: ReleaseContext): Promise<void> {
  const { runtime, entry, content, expiredAt, signal } = context
  if (runtime.wishes?.generation === content.generation || runtime.settled === content.generation) return
  if (expiredAt !== undefined || services.trust.key(content) === undefined) return
  try {
    const bundle = await verified(services, context, entry.bundle, ranBefore(context))
    takeWishes(services, context, bundle.digest, await planOf(services, context, bundle))
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof BundleRefusal && isRefusal(error.reason)) runtime.settled = content.generation
  }
}

async function applyBundle(
  services: ReleaseServices,
  context: ReleaseContext,
  bundle: LoadedBundle,
  trust: string,
  { hooks }: { readonly hooks: boolean },
): Promise<Outcome | undefined> {
  const { runtime, entry, signal } = context
  const { asked } = runtime
  runtime.asked = false
  const content = contentOf({ ...entry, bundle: { ...entry.bundle, version: bundle.version, digest: bundle.digest } })
  await services.tenancy.prepare(entry.settings?.tenant, bundle.objects, signal)
  const planned = withoutMoved(services, context, await planOf(services, context, bundle))
  const api = actFor(services, context, { version: bundle.version, content }, planned)
  if ('reason' in api) return api
  const large = tooLarge(inventoryWith(runtime.inventory, planned), { name: runtime.name, version: bundle.version })
  if (large !== undefined) return large
  takeWishes(services, context, bundle.digest, planned)
  const plan = await takeOver(services, context, planned)
  const same = (runtime.applied ?? runtime.remembered)?.content === content
  runtime.complete = false
  runtime.readyContent = undefined
  await announce(services, context, plan, content)
  runtime.hookJobs = new Set(plan.objects.filter(isHookJob).map(({ key }) => key))
  const withHooks = hooks && !same ? await beginHooks(services, context, plan, asked) : undefined
  runtime.rollout = beginRollout({ content, trust, bundle, plan, same, asked }, withHooks)
  return advance(services, context, runtime.rollout, api)
}

/**
 * Goes on with a rollout, as far as it need not wait.
 * @param began as whom its first stage is applied, where that was just found out: the right to a later one may have ended meanwhile
 */
async function advance(
  services: ReleaseServices,
  context: ReleaseContext,
  rollout: Rollout,
  began?: ClusterApi,
): Promise<Outcome | undefined> {
  const { runtime, entry } = context
  const { bundle, content, plan } = rollout
  let given = began
  for (let stage = rollout.stages[rollout.next]; stage !== undefined; stage = rollout.stages[rollout.next]) {
    const waits = waitsForWave(runtime, services.watches, rollout)
    if (waits !== undefined) {
      await recheck(services, context)
      return waits
    }
    const api = given ?? actFor(services, context, { version: bundle.version, content }, plan)
    given = undefined
    if ('reason' in api) return api
    const [planned] = stage.objects
    if (stage.hook !== undefined && planned !== undefined) {
      const { failed } = runtime.hooks ?? {}
      const outcome =
        failed === undefined ? await runHook(services, context, { planned, event: stage.hook, api }) : hookFailed(failed.message)
      if (outcome !== undefined) {
        await recheck(services, context)
        return outcome
      }
      rollout.next += 1
      continue
    }
    const failures = await applyStage(services, context, rollout, stage.objects, api)
    if (failures.length > 0) {
      // Rights that somebody took away are given again before the next try.
      if (entry.settings?.tenant && failures.some(({ code }) => code === 'Forbidden')) services.tenancy.doubt(entry.settings.tenant.name)
      // What cannot be planned may be tomorrow, and what others made meanwhile is theirs; of what was planned only this stage is tried again.
      if (rollout.next === 0 || failures.some(({ code }) => code === 'MadeMeanwhile')) runtime.rollout = undefined
      return applyFailed(services, context, content, failures)
    }
    rollout.next += 1
  }
  return finish(services, context, rollout)
}

function finish({ guard, logger, releases }: ReleaseServices, { runtime, entry }: ReleaseContext, rollout: Rollout): undefined {
  const { bundle, content, plan, applied, trust } = rollout
  const actions = Object.groupBy([...applied.values()], (one) => one.action)
  const counts = Object.fromEntries(Object.entries(actions).map(([action, all]) => [action.toLowerCase(), all.length]))
  const untouched = plan.objects.length - applied.size
  logger.info({ release: runtime.name, version: bundle.version, digest: bundle.digest, ...counts, untouched }, 'applied a bundle')
  // What only an earlier version had is kept as it was until now; from here on nobody keeps it.
  const wanted = new Set(plan.objects.filter((planned) => !isHookJob(planned)).map((planned) => planned.key))
  for (const key of runtime.tracked.keys()) if (!wanted.has(key)) runtime.tracked.delete(key)
  releases.index(runtime)
  runtime.rollout = undefined
  runtime.applyFailed = undefined
  runtime.applied = {
    digest: bundle.digest,
    version: bundle.version,
    namespace: entry.namespace,
    content,
    signedBy: bundle.signedBy,
    trust,
  }
  runtime.customizations = bundle.customizations ?? []
  runtime.complete = true
  guard()
}

/**
 * What may be made is written down before it is made: a crash leaves nothing that prune does not know. What somebody else made is taken out before it
 * is taken over: nothing that bears this release's label is written down but what the release made.
 */
async function announce(
  { objects }: ReleaseServices,
  { runtime, wanted, content: channel, signal }: ReleaseContext,
  plan: Plan,
  content: string,
): Promise<void> {
  const inventory = inventoryWith(runtime.inventory, plan)
  const foreign = plan.foreign.length > 0
  const grown = foreign || subtractInventory(inventory, runtime.inventory).length > 0
  runtime.inventory = inventory
  runtime.announced = content
  await objects.ensure(wanted, runtime, channel.generation, { newest: bearsGeneration(channel, wanted.name), grown, signal })
  if (foreign) await objects.write(wanted.name, runtime, undefined, signal)
}

const maxListed = 5

function applyFailed(
  { clock, logger }: ReleaseServices,
  { runtime }: ReleaseContext,
  content: string,
  failures: readonly ObjectFailure[],
): Outcome {
  for (const failure of failures) {
    logger.warn(
      { release: runtime.name, object: nameOf(failure.ref), code: failure.code, reason: failure.message },
      'an object could not be applied',
    )
  }
  const told = failures.slice(0, maxListed).map((failure) => `${nameOf(failure.ref)} (${failure.code}): ${failure.message}`)
  const more = failures.length > maxListed ? ` And ${failures.length - maxListed} more.` : ''
  const transient = failures.some((failure) => failure.transient)
  const times = timesOf(runtime.applyFailed, content)
  const waitMs = backoffMs(times - 1, applyBackoff, clock.random)
  const outcome: Outcome = {
    ready: false,
    reason: releaseReasons.applyFailed,
    message: `${failures.length} of its objects could not be applied. ${told.join(' ')}${more}`,
    requeueAfterMs: transient ? waitMs : refusedObjectAgainMs,
  }
  // The end of what is being deleted is seen, and is what is waited for.
  const untilMs = failures.some(({ code }) => code === 'Terminating') ? 0 : clock.now().getTime() + waitMs
  runtime.applyFailed = { of: content, times, untilMs, outcome }
  return outcome
}
