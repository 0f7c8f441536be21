import { setTimeout as pause } from 'node:timers/promises'
import { KubeError, type KubeObject } from '@muster/kube'
import { type Addition, additionsByOthers, removalPatch } from './additions.ts'
import { type ClusterApi, calling, fieldManager, releaseLabel } from './cluster.ts'
import { type Drift, driftBetween } from './drift.ts'
import { failureOf, type ObjectFailure } from './failure.ts'
import { leaves, same, touches, valueAt } from './fields.ts'
import { groupKind, nameOf, refOf } from './identity.ts'
import { ownershipHash, ownFields } from './managed-fields.ts'
import { phases } from './order.ts'
import type { PlannedObject } from './plan.ts'
import { type Reach, restoration } from './restore.ts'

/** What an apply did to one object. */
export interface Applied {
  readonly action: 'Created' | 'Changed' | 'Unchanged'
  /** As the API server returned it last. */
  readonly object: KubeObject
  /** What stands for "as we applied it"; see `ownershipHash`. */
  readonly ownership: string
  /** How the object was before. It is drift where the content applied is what was applied before, and an upgrade where it is not. */
  readonly difference?: Drift
}

export interface ApplyOptions {
  readonly release: string
  /** This very content was applied before, so what others did is all that can stand in its way. */
  readonly accepted?: boolean
  readonly signal?: AbortSignal
}

/** Thrown inside `applyObject` for what only this package knows; `applyPlan` turns it into a failure. */
export class ApplyRefusal extends Error {
  override readonly name = 'ApplyRefusal'
  readonly code: 'OwnedByOtherRelease' | 'Terminating' | 'NotEstablished'
  readonly transient: boolean

  constructor(code: ApplyRefusal['code'], message: string) {
    super(message)
    this.code = code
    this.transient = code !== 'OwnedByOtherRelease'
  }
}

/** How often a write is tried again when the object changes meanwhile. */
const writeAttempts = 3

/**
 * Brings one object to what is signed: server-side apply, forced, since the release owns what it names; then what others added where
 * only the release has a say is removed, from exactly the state that was judged. What others put in the way of the apply goes first.
 * @throws KubeError, ApplyRefusal
 */
export async function applyObject(api: ClusterApi, object: KubeObject, options: ApplyOptions): Promise<Applied> {
  const { release, signal } = options
  const ref = refOf(object)
  const before = await api.find(ref, calling(signal))
  const holder = before === undefined ? undefined : heldBy(before)
  if (holder !== undefined && holder !== release) {
    throw new ApplyRefusal('OwnedByOtherRelease', `${nameOf(ref)} belongs to release ${holder}; take it out of one of the two bundles.`)
  }
  if (before?.metadata.deletionTimestamp !== undefined) {
    const finalizers = before.metadata.finalizers ?? []
    const wait = finalizers.length > 0 ? ` (finalizers: ${finalizers.join(', ')})` : ''
    throw new ApplyRefusal('Terminating', `${nameOf(ref)} is being deleted${wait}; it is made again when it is gone.`)
  }
  const { applied, dropped } = await applyOrRestore(api, object, before, options)
  const cleaned = await removeAdditions(api, object, applied, signal)
  const difference = driftBetween(ref, before, applied, [...dropped, ...cleaned.removed], fieldManager)
  return {
    action: actionOf(before, cleaned.object, difference),
    object: cleaned.object,
    ownership: ownershipHash(cleaned.object, fieldManager),
    ...(difference === undefined ? {} : { difference }),
  }
}

/**
 * A controller may write the object between our read and our apply, its status most often: a newer resourceVersion alone does not mean
 * that we changed anything.
 */
function actionOf(before: KubeObject | undefined, after: KubeObject, difference: Drift | undefined): Applied['action'] {
  if (before === undefined) return 'Created'
  if (before.metadata.resourceVersion === after.metadata.resourceVersion) return 'Unchanged'
  const own = ownFields(after, fieldManager) ?? {}
  const kept = difference === undefined && leaves(own).every((path) => same(valueAt(before, path), valueAt(after, path)))
  return kept ? 'Unchanged' : 'Changed'
}

/** The release that applied an object. A label that someone else wrote gives it to nobody. */
function heldBy(object: KubeObject): string | undefined {
  const labelled = touches(ownFields(object, fieldManager) ?? {}, ['f:metadata', 'f:labels', `f:${releaseLabel}`])
  return labelled ? object.metadata.labels?.[releaseLabel] : undefined
}

async function applyOrRestore(
  api: ClusterApi,
  object: KubeObject,
  before: KubeObject | undefined,
  { accepted, signal }: ApplyOptions,
): Promise<{ applied: KubeObject; dropped: readonly Addition[] }> {
  const apply = async () => api.apply(object, { fieldManager, force: true, ...calling(signal) })
  let dropped: readonly Addition[] = []
  let applied: KubeObject
  try {
    applied = await apply()
  } catch (error) {
    // An object that was never ours is not bent to what is signed: that is for people to decide.
    const known = before !== undefined && (accepted === true || ownFields(before, fieldManager) !== undefined)
    if (!known || !isInvalid(error)) throw error
    const restored = await restore(api, before, object, signal)
    if (restored === undefined) throw error
    dropped = restored
    // What was written by the way of a replace is owned only now.
    applied = await apply()
  }
  return { applied: await forgetUpdates(api, applied, signal), dropped }
}

/** Refused by the rules of its kind. Not what fits no schema (500) or is no request (400): there the signed object itself is at fault. */
function isInvalid(error: unknown): boolean {
  return error instanceof KubeError && error.code === 'Invalid' && error.status === 422
}

const reaches: readonly Reach[] = ['beside', 'everywhere']

/**
 * Writes a restoration (see `restore.ts`): first without what stands beside what is signed; if that is refused too, without anything of
 * others. A write that is refused has changed nothing. Undefined when neither was possible.
 */
async function restore(
  api: ClusterApi,
  before: KubeObject,
  desired: KubeObject,
  signal: AbortSignal | undefined,
): Promise<readonly Addition[] | undefined> {
  let live: KubeObject | undefined = before
  for (let attempt = 1; live !== undefined; attempt++) {
    try {
      for (const reach of reaches) {
        const found = restoration(live, desired, fieldManager, reach)
        if (found === undefined) continue
        try {
          await api.replace(found.object, { fieldManager, fieldValidation: 'Strict', ...calling(signal) })
          return found.dropped
        } catch (error) {
          if (!isInvalid(error)) throw error
        }
      }
      return undefined
    } catch (error) {
      if (!(error instanceof KubeError && error.code === 'Conflict') || attempt >= writeAttempts) throw error
      live = await api.find(refOf(desired), calling(signal))
    }
  }
  return undefined
}

/**
 * Takes our own replaces and patches out of the books, once an apply owns what is signed. As a second owner they would keep a field
 * alive that a later version of the release does not have any more.
 */
async function forgetUpdates(api: ClusterApi, object: KubeObject, signal: AbortSignal | undefined): Promise<KubeObject> {
  const isUpdate = (entry: { manager?: string; operation?: string; subresource?: string }): boolean =>
    entry.manager === fieldManager && entry.operation === 'Update' && (entry.subresource ?? '') === ''
  let live = object
  for (let attempt = 1; ; attempt++) {
    const entries = live.metadata.managedFields ?? []
    if (!entries.some(isUpdate)) return live
    const patch = [
      { op: 'test', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion },
      { op: 'replace', path: '/metadata/managedFields', value: entries.filter((entry) => !isUpdate(entry)) },
    ]
    try {
      return await api.patch(refOf(object), patch, { type: 'json', ...calling(signal) })
    } catch (error) {
      if (!(error instanceof KubeError) || error.transient) throw error
      // Somebody wrote in between, such as a controller its status. After some attempts the next apply tries again.
      const found = attempt < writeAttempts ? await api.find(refOf(object), calling(signal)) : undefined
      if (found === undefined) return live
      live = found
    }
  }
}

async function removeAdditions(
  api: ClusterApi,
  desired: KubeObject,
  applied: KubeObject,
  signal: AbortSignal | undefined,
): Promise<{ object: KubeObject; removed: Addition[] }> {
  const ref = refOf(desired)
  const removed: Addition[] = []
  let object = applied
  for (let attempt = 1; ; attempt++) {
    const additions = additionsByOthers(object, fieldManager)
    const patch = removalPatch(
      object,
      additions.map((addition) => addition.path),
    )
    if (patch === undefined) return { object, removed }
    try {
      object = await api.patch(ref, patch, { type: 'json', ...calling(signal) })
      removed.push(...additions)
      return { object, removed }
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      const live = await api.find(ref, calling(signal))
      const moved = live !== undefined && live.metadata.resourceVersion !== object.metadata.resourceVersion
      if (moved && attempt < writeAttempts) {
        object = live
        continue
      }
      // Most of a pod cannot be changed once it runs: the only way back is a new one.
      if (groupKind(desired) !== 'Pod' || error.code !== 'Invalid' || object.metadata.uid === undefined) throw error
      await api.delete(ref, { propagation: 'Background', uid: object.metadata.uid, ...calling(signal) })
      throw new ApplyRefusal('Terminating', `${nameOf(ref)} had parts added that cannot be taken out; it is being replaced.`)
    }
  }
}

export interface ApplyPlanOptions extends ApplyOptions {
  /** Called after each object, so that its drift is watched from then on. */
  readonly onApplied?: (planned: PlannedObject, applied: Applied) => void
  /** How long a definition may take until it is served, in milliseconds. Default 60,000. */
  readonly establishedTimeoutMs?: number
}

const concurrency = 4
const defaultEstablishedTimeoutMs = 60_000
const establishedPollMs = 100

/** Applies a plan, phase by phase. One object that fails does not keep the others from being applied. Throws only when aborted. */
export async function applyPlan(
  api: ClusterApi,
  planned: readonly PlannedObject[],
  options: ApplyPlanOptions,
): Promise<{ readonly applied: ReadonlyMap<string, Applied>; readonly failures: readonly ObjectFailure[] }> {
  const applied = new Map<string, Applied>()
  const failures: ObjectFailure[] = []
  const one = async (item: PlannedObject): Promise<void> => {
    try {
      const result = await applyObject(api, item.object, options)
      applied.set(item.key, result)
      options.onApplied?.(item, result)
    } catch (error) {
      failures.push(refusalOr(item, error, options.signal))
    }
  }
  for (const phase of phases) {
    const items = planned.filter((item) => item.phase === phase)
    // Within a phase the order holds for who starts first; a few are under way at once.
    let next = 0
    const worker = async (): Promise<void> => {
      for (let item = items[next++]; item !== undefined; item = items[next++]) await one(item)
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker))
    if (phase === 'definitions') {
      const definitions = items.filter((item) => applied.has(item.key))
      await Promise.all(
        definitions.map(async (item) =>
          established(api, item, options).catch((error: unknown) => failures.push(refusalOr(item, error, options.signal))),
        ),
      )
    }
  }
  return { applied, failures }
}

function refusalOr(item: PlannedObject, error: unknown, signal: AbortSignal | undefined): ObjectFailure {
  const ref = refOf(item.object)
  if (error instanceof ApplyRefusal) return { ref, code: error.code, message: error.message, transient: error.transient }
  return failureOf(ref, error, signal)
}

/** Waits until a definition is served: its objects are refused before. */
async function established(api: ClusterApi, item: PlannedObject, options: ApplyPlanOptions): Promise<void> {
  const ref = refOf(item.object)
  const timeoutMs = options.establishedTimeoutMs ?? defaultEstablishedTimeoutMs
  const deadline = AbortSignal.timeout(timeoutMs)
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline])
  try {
    for (;;) {
      const live = await api.find(ref, { signal })
      const status = live?.['status'] as { conditions?: readonly { type?: unknown; status?: unknown }[] } | undefined
      if (status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True')) return
      await pause(establishedPollMs, undefined, { signal })
    }
  } catch (error) {
    if (!deadline.aborted || options.signal?.aborted) throw error
    throw new ApplyRefusal('NotEstablished', `${nameOf(ref)} is not served after ${timeoutMs / 1000} s; look at its conditions.`)
  }
}
