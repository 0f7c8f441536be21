import type { InventoryEntry } from '@muster/api'
import {
  type Applied,
  applyPlan,
  type ClusterApi,
  entryOf,
  entryRef,
  fieldManager,
  isLeftBy,
  isProtected,
  type ObjectFailure,
  objectKey,
  ownedValuesHash,
  type Plan,
  type PlannedObject,
  refOf,
  subtractInventory,
  unionInventory,
} from '@muster/reconcile'
import { judgementOf } from '../watches.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import { isAsApplied, lastObjects } from './last-applied.ts'
import { verified } from './release-bundle.ts'
import type { LastApplied, Rollout, Tracked } from './runtime.ts'

/** How long a definition that comes back may take until it is served, in milliseconds. */
const servedAgainMs = 2_000

/** Applies the objects of one stage, and keeps them from then on. Gives what could not be applied. */
export async function applyStage(
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
      letsGo: (holder, key) =>
        rules.letsGo(holder, key) || (releases.get(holder) === undefined && isLeftBy(runtime.inventory, holder, key)),
      takeOver: { adopt: entry.settings?.adopt ?? [], takeFrom: entry.settings?.conflicts?.takeFrom ?? [] },
      uidOf: ({ key }) => runtime.inventory.find((entry) => objectKey(entryRef(entry)) === key)?.uid,
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
  const failures = next === 0 ? [...plan.failures, ...result.failures] : result.failures
  // The API server repeats what it refuses.
  return failures.map((failure) => ({ ...failure, message: runtime.discreet(failure.message) }))
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
