import { type InventoryEntry, type ReleaseReason, releaseReasons } from '@muster/api'
import {
  type Applied,
  applyPlan,
  type ClusterApi,
  entryOf,
  entryRef,
  fieldManager,
  guardLabel,
  inventoryWith,
  isHookJob,
  isProtected,
  nameOf,
  type ObjectFailure,
  objectKey,
  ownedValuesHash,
  type Plan,
  type PlannedObject,
  planRelease,
  refOf,
  subtractInventory,
  unionInventory,
} from '@muster/reconcile'
import { TrustError } from '@muster/trust'
import { BundleRefusal, type LoadedBundle, loadBundle, refusalOf, type WantedBundle } from '../bundle-loader.ts'
import { backoffMs } from '../clock.ts'
import { codeOf, messageOf } from '../error.ts'
import { judgementOf } from '../watches.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import { customized } from './customize.ts'
import { actFor } from './grant.ts'
import { isRefusal } from './handover.ts'
import { beginHooks, hookFailed, runHook } from './hooks.ts'
import { isAsApplied, lastObjects } from './last-applied.ts'
import { timesOf, tooEarly } from './patience.ts'
import { recheck } from './recheck.ts'
import { bearsGeneration } from './release-object.ts'
import { entryOfGood, putOnTrial } from './rollback.ts'
import { beginRollout, waitsForWave } from './rollout.ts'
import { contentOf, type LastApplied, type Outcome, type Rollout, type Tracked } from './runtime.ts'
import { tooLarge } from './size.ts'
import { waitsForChannel } from './stale.ts'
import { takeOver, takeWishes, withoutMoved } from './wishes.ts'

const refusedAgainMs = 30_000
const unreachableAgainMs = 5_000
const applyBackoff = { baseMs: 1_000, maxMs: 60_000 }
/** An object that is refused for its content may pass when something else changed, such as a quota. */
const refusedObjectAgainMs = 60_000

/** How long a definition that comes back may take until it is served, in milliseconds. */
const servedAgainMs = 2_000

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

/** Whether this very bundle was applied whole before: to apply it again, such as after a restart, is nothing new. */
export function ranBefore({ runtime, entry, rolledBack }: Pick<ReleaseContext, 'runtime' | 'entry' | 'rolledBack'>): boolean {
  if (rolledBack) return true
  const { applied, remembered, held, history } = runtime
  // The site goes back to what it had: nothing new comes from a channel.
  if (held?.digest === entry.bundle.digest && history.some(({ digest }) => digest === held.digest)) return true
  if (applied !== undefined) return applied.digest === entry.bundle.digest && applied.namespace === entry.namespace
  return remembered?.digest === entry.bundle.digest
}

function refused(error: BundleRefusal): Outcome {
  const requeueAfterMs = error.reason === releaseReasons.registryUnreachable ? unreachableAgainMs : refusedAgainMs
  return { ready: false, reason: error.reason, message: error.message, requeueAfterMs }
}

/**
 * After a restart, with a new bundle that is refused: what ran before is taken up again, so that its drift is corrected.
 * It is verified like any other; where that cannot be done now, what runs is left alone.
 */
export async function keepWhatRuns(services: ReleaseServices, context: ReleaseContext): Promise<void> {
  const { runtime, entry, content, signal } = context
  // What failed and may be taken back in part already is not put together again.
  if (context.rolledBack || runtime.applied !== undefined || runtime.remembered === undefined) return
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
}

/** @param runs it was applied before: its age is no ground to refuse it, since what an accepted channel brought stays */
export async function verified(
  services: ReleaseServices,
  context: ReleaseContext,
  wanted: WantedBundle,
  runs: boolean,
): Promise<LoadedBundle> {
  const { trust, source, clock, loads } = services
  const { content, runtime, signal } = context
  try {
    const effective = await trust.policy(content)
    const policy = effective && { effective, now: clock.now(), refuseOld: !runs, source }
    const { repository, version, digest } = wanted
    const key = JSON.stringify([repository, version, digest, runs, trust.key(content)])
    const bundle = await loads.load(
      { release: runtime.name, version, key },
      (stop) => loadBundle(source(repository), wanted, { publishers: content.publishers, policy }, stop),
      signal,
    )
    return await customized(services, context, bundle, runs)
  } catch (error) {
    throw error instanceof TrustError ? refusalOf(error) : error
  }
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

export async function planOf(
  { client, cluster, watches }: ReleaseServices,
  { runtime, entry, signal }: ReleaseContext,
  bundle: LoadedBundle,
): Promise<Plan> {
  return planRelease(client, bundle.objects, {
    release: runtime.name,
    namespace: bundle.namespace ?? entry.namespace,
    inventory: runtime.inventory,
    ...(runtime.driftPolicy.mode === 'prevent' ? { labels: { [guardLabel]: cluster } } : {}),
    seen: (ref) => watches.sighting(ref),
    signal,
  })
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
  const plan = takeOver(services, context, planned)
  const same = (runtime.applied ?? runtime.remembered)?.content === content
  runtime.complete = false
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
      // What cannot be planned may be tomorrow; of what was planned only this stage is tried again.
      if (rollout.next === 0) runtime.rollout = undefined
      return applyFailed(services, context, content, failures)
    }
    rollout.next += 1
  }
  return finish(services, context, rollout)
}

async function applyStage(
  services: ReleaseServices,
  context: ReleaseContext,
  { bundle, plan, same, asked, applied, next }: Rollout,
  objects: readonly PlannedObject[],
  api: ClusterApi,
): Promise<readonly ObjectFailure[]> {
  const { clock, releases, rewatch, tenancy, watches } = services
  const { runtime, entry, signal } = context
  const rules = services.handover(context.content)
  const last = lastObjects(services, context, bundle.digest, verified)
  const apply = async () => {
    const judged = runtime.health === bundle.health
    runtime.health = bundle.health
    track(runtime, objects, same)
    releases.index(runtime, (holder, key) => rules.letsGo(holder, key))
    if (judged) watches.add(objects.map(({ object }) => object))
    else rewatch()
    // What was applied before the agent was started anew is compared with what is there, which must have been read for that.
    if (same)
      await watches.read(
        objects.map(({ object }) => object).filter((object) => watches.get(refOf(object)) === 'unknown'),
        signal,
      )
    return applyPlan(api, objects, {
      release: runtime.name,
      accepted: same,
      tolerances: runtime.driftPolicy.tolerances,
      nowMs: clock.now().getTime(),
      inspect: same && !runtime.corrects,
      // Their own stages wait for them, and hold up nobody; what ran before has no stages.
      establishedTimeoutMs: same ? servedAgainMs : 0,
      letsGo: (holder, key) => rules.letsGo(holder, key),
      takeOver: { adopt: entry.settings?.adopt ?? [], takeFrom: entry.settings?.conflicts?.takeFrom ?? [] },
      known: (planned) => {
        const tracked = runtime.tracked.get(planned.key)
        if (tracked !== undefined && !asked && isAsApplied(tracked, watches)) {
          const seen = watches.get(refOf(planned.object))
          const values = typeof seen === 'object' ? { values: seen.values } : {}
          keep(tracked, tracked.last && { ...tracked.last, ...values })
          runtime.drifting.delete(planned.key)
          return 'as planned'
        }
        return { expect: expected(services, context, planned), last: () => last(planned.key) }
      },
      signal,
      onApplied: (planned, one) => {
        applied.set(planned.key, one)
        note(services, context, planned, one, same)
      },
    })
  }
  const result = await tenancy.whileActing(entry.settings?.tenant, () => runtime.whileApplying(apply))
  leaveToOthers(services, context, result.foreign)
  runtime.inventory = unionInventory(runtime.inventory, madeEntries(plan, result.applied))
  runtime.appliedAtMs = clock.now().getTime()
  runtime.rechecked = false
  return next === 0 ? [...plan.failures, ...result.failures] : result.failures
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

/** What may be made is written down before it is made: a crash leaves nothing that prune does not know. */
async function announce(
  { objects }: ReleaseServices,
  { runtime, wanted, content: channel, signal }: ReleaseContext,
  plan: Plan,
  content: string,
): Promise<void> {
  const inventory = inventoryWith(runtime.inventory, plan)
  const grown = subtractInventory(inventory, runtime.inventory).length > 0
  runtime.inventory = inventory
  runtime.announced = content
  await objects.ensure(wanted, runtime, channel.generation, { newest: bearsGeneration(channel, wanted.name), grown, signal })
}

/** From now on these objects are kept. What they are kept at is known once each was applied. */
function track(runtime: ReleaseContext['runtime'], objects: readonly PlannedObject[], same: boolean): void {
  const made =
    same && runtime.applied === undefined ? new Map(runtime.inventory.map((entry) => [objectKey(entryRef(entry)), entry])) : undefined
  for (const planned of objects) {
    const known = runtime.tracked.get(planned.key)
    const last = known?.last ?? remembered(planned, made?.get(planned.key))
    runtime.tracked.set(planned.key, { ...(same ? known : {}), planned, ...(last === undefined ? {} : { last }) })
  }
}

/** What an inventory knows of an object that was applied with the same content before the agent was started anew. */
function remembered({ object }: PlannedObject, entry: InventoryEntry | undefined): LastApplied | undefined {
  if (entry?.ownership === undefined) return undefined
  return { object, ownership: entry.ownership, ...(entry.uid === undefined ? {} : { uid: entry.uid }) }
}

/** Keeps an object at what was last applied. */
function keep(tracked: Tracked, last: LastApplied | undefined): void {
  if (last === undefined) return
  tracked.last = { ...last, object: tracked.planned.object }
  tracked.ownership = last.ownership
  if (last.values !== undefined) tracked.values = last.values
  if (last.uid !== undefined) tracked.uid = last.uid
  if (last.generation !== undefined) tracked.generation = last.generation
}

/** Whether the release's object is there, as far as is known: a guess that costs requests when it is wrong, and nothing else. */
function expected({ watches }: ReleaseServices, { runtime }: ReleaseContext, { key, object }: PlannedObject): 'absent' | 'present' {
  const sighting = watches.sighting(refOf(object))
  if (sighting === 'unknown') {
    const made = runtime.inventory.some((entry) => entry.uid !== undefined && objectKey(entryRef(entry)) === key)
    return made ? 'present' : 'absent'
  }
  return sighting?.holder === runtime.name ? 'present' : 'absent'
}

function note({ found }: ReleaseServices, { runtime }: ReleaseContext, planned: PlannedObject, applied: Applied, same: boolean): void {
  const tracked = runtime.tracked.get(planned.key)
  if (tracked === undefined) return
  const { uid, generation } = applied.object.metadata
  keep(tracked, {
    object: planned.object,
    ownership: applied.ownership,
    values: ownedValuesHash(applied.object, fieldManager),
    ...(uid === undefined ? {} : { uid }),
    ...(generation === undefined ? {} : { generation }),
  })
  tracked.judged = judgementOf(applied.object)
  // Should this apply be ended early, prune must still know which of these the release made.
  if (planned.ours && isProtected(planned.object)) runtime.inventory = unionInventory(runtime.inventory, [entryOf(applied.object)])
  // The same content as before, and yet a difference: that happened while nobody looked.
  const { difference: _, ...upgraded } = applied
  found(runtime, planned.key, same ? applied : upgraded)
}

function madeEntries(plan: Plan, applied: ReadonlyMap<string, Applied>): InventoryEntry[] {
  return plan.objects.flatMap((planned) => {
    const result = applied.get(planned.key)
    return planned.ours && result !== undefined ? [entryOf(result.object, result.ownership)] : []
  })
}

/** What somebody else made meanwhile is used as it is, and is nothing of this release. */
function leaveToOthers({ releases }: ReleaseServices, { runtime }: ReleaseContext, foreign: readonly PlannedObject[]): void {
  if (foreign.length === 0) return
  for (const { key } of foreign) runtime.tracked.delete(key)
  releases.index(runtime)
  runtime.inventory = subtractInventory(
    runtime.inventory,
    foreign.map(({ object }) => entryOf(object)),
  )
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
