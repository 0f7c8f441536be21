import { KubeError, type KubeObject } from '@muster/kube'
import type { Addition } from './additions.ts'
import { type AdoptionRule, mayAdopt } from './adoption.ts'
import { type ClusterApi, calling, fieldManager } from './cluster.ts'
import { conflictsOf, describeConflicts, type FieldConflict, wasSet } from './conflict.ts'
import { forgetUpdates, isInvalid, removeAdditions, restore } from './correction.ts'
import { type Drift, driftBetween } from './drift.ts'
import { leaves, same, valueAt } from './fields.ts'
import { holderOf } from './holder.ts'
import { nameOf, objectKey, refOf } from './identity.ts'
import { inspect } from './inspect.ts'
import { fieldOwners, ownershipHash, ownFields } from './managed-fields.ts'
import { remake } from './recreate.ts'
import { ApplyRefusal } from './refusal.ts'
import { type Tolerance, tolerancesFor, yieldTolerated } from './tolerance.ts'

/** What an apply did to one object. */
export interface Applied {
  /** `Adopted`: it was there, made by somebody else, and is the release's from now on. `Recreated`: it was deleted and made again. */
  readonly action: 'Created' | 'Adopted' | 'Recreated' | 'Changed' | 'Unchanged'
  /** As the API server returned it last. */
  readonly object: KubeObject
  /** What stands for "as we applied it"; see `ownershipHash`. */
  readonly ownership: string
  /** How the object was before. It is drift where the content applied is what was applied before, and an upgrade where it is not. */
  readonly difference?: Drift
  /** Fields that others have, or took away, and that were left to them since that is tolerated; as JSON pointers. */
  readonly yielded?: readonly string[]
}

/** What may be taken from others. Nothing, where nothing is said. */
export interface TakeOver {
  /** Objects that are there already and that the release may make its own. */
  readonly adopt?: readonly AdoptionRule[]
  /** Field managers from which fields may be taken that the bundle sets. */
  readonly takeFrom?: readonly string[]
}

export interface ApplyOptions {
  readonly release: string
  /** This very content was applied before, so what others did is all that can stand in its way. */
  readonly accepted?: boolean
  /**
   * Whether the release's object is known to be there, from a watch or an inventory. It only saves requests: what is not as expected
   * is found out by the answer. Default: absent.
   */
  readonly expect?: 'absent' | 'present'
  /** What the release applied last in this object's place: another's value in a field of it is drift, in any other a conflict. */
  readonly last?: () => Promise<KubeObject | undefined>
  readonly takeOver?: TakeOver
  /**
   * The release counts it as its own since it makes it: the one with this uid, where it is made. What somebody else made in its place is not taken
   * over as long as that is written down: after a crash nobody could tell it from what the release made.
   */
  readonly own?: { readonly uid: string | undefined }
  /** Fields in which a difference is meant, among those of all objects of the release. */
  readonly tolerances?: readonly Tolerance[]
  /** By which tolerances end, in milliseconds since 1970. Default: none ends. */
  readonly nowMs?: number
  /** Nothing is written: the answer says what an apply would correct. */
  readonly inspect?: boolean
  /** Whether a release that has an object, by its key, lets this one have it. Default: it does not. */
  readonly letsGo?: (holder: string, key: string) => boolean
  readonly signal?: AbortSignal
}

/** How an object that is there belongs to the release that wants it. */
type Standing = 'ours' | 'adopted'

type Attempt = { readonly applied: KubeObject } | { readonly conflicts: readonly FieldConflict[] } | { readonly invalid: KubeError }

/**
 * Brings one object to what is signed, by server-side apply, in one request where nothing stands in the way (see the README for the
 * others). What is not the release's is left alone and told: objects of others, fields of other managers.
 * @throws KubeError, ApplyRefusal
 */
export async function applyObject(api: ClusterApi, object: KubeObject, all: ApplyOptions): Promise<Applied> {
  const options = { ...all, tolerances: tolerancesFor(all.tolerances ?? [], refOf(object), all.nowMs ?? 0) }
  const { accepted = false, expect = 'absent' } = options
  if (options.inspect === true) return inspect(api, object, options)
  if (expect === 'absent') {
    const made = await create(api, object, options)
    if (made !== undefined) return conclude(api, object, made, { ...options, before: 'absent' })
    return applyOver(api, object, options)
  }
  // What is tolerated must not be applied, which only a look at the object can say.
  if (accepted || options.tolerances.length > 0) return applyOver(api, object, options)
  const first = await attempt(api, object, { force: false, signal: options.signal })
  if (!('applied' in first)) return applyOver(api, object, options, first)
  refuseTerminating(first.applied)
  return conclude(api, object, first.applied, { ...options, before: 'unread' })
}

/**
 * An apply that only makes. No object has this version: on one that is there the API server refuses it and changes nothing, and where
 * there is none it does not look at it.
 */
const neverThere = '1'

/** Undefined where an object is there. */
async function create(api: ClusterApi, object: KubeObject, { signal }: ApplyOptions): Promise<KubeObject | undefined> {
  const once = { ...object, metadata: { ...object.metadata, resourceVersion: neverThere } }
  try {
    return await api.apply(once, { fieldManager, force: true, ...calling(signal) })
  } catch (error) {
    if (error instanceof KubeError && (error.code === 'Conflict' || error.code === 'AlreadyExists')) return undefined
    throw error
  }
}

/** One apply. What is refused for what is there is given back; every other failure is thrown. */
export async function attempt(
  api: ClusterApi,
  object: KubeObject,
  { force, dryRun = false, signal }: { readonly force: boolean; readonly dryRun?: boolean; readonly signal: AbortSignal | undefined },
): Promise<Attempt> {
  try {
    return { applied: await api.apply(object, { fieldManager, force, dryRun, ...calling(signal) }) }
  } catch (error) {
    if (isInvalid(error)) return { invalid: error }
    const conflicts = error instanceof KubeError && error.code === 'Conflict' ? conflictsOf(error) : []
    if (conflicts.length === 0) throw error
    return { conflicts }
  }
}

/** Applies over what is there, after a look at it. */
async function applyOver(api: ClusterApi, object: KubeObject, options: ApplyOptions, first?: Attempt): Promise<Applied> {
  const { accepted = false, signal } = options
  const before = await api.find(refOf(object), calling(signal))
  if (before === undefined) {
    const made = await api.apply(object, { fieldManager, force: true, ...calling(signal) })
    return conclude(api, object, made, { ...options, before: 'absent' })
  }
  const standing = standingOf(before, options)
  refuseTerminating(before)
  const { object: wanted, yielded } = yieldTolerated(object, before, options.tolerances ?? [], fieldManager)
  let result = first !== undefined && yielded.length === 0 ? first : await attempt(api, wanted, { force: accepted, signal })
  if ('conflicts' in result) {
    await judgeConflicts(result.conflicts, before, standing, options)
    result = await attempt(api, wanted, { force: true, signal })
  }
  let dropped: readonly Addition[] = []
  if ('invalid' in result) {
    // An object that was never ours is not bent to what is signed: that is for people to decide.
    const restored = standing === 'ours' || accepted ? await restore(api, before, wanted, signal) : undefined
    if (restored === undefined) {
      const made = await remake(api, before, object, { error: result.invalid, create: () => create(api, object, options), signal })
      return conclude(api, object, made, { ...options, before: 'absent', action: 'Recreated' })
    }
    dropped = restored
    // What was written by the way of a replace is owned only now.
    result = await attempt(api, wanted, { force: true, signal })
  }
  if (!('applied' in result)) throw 'invalid' in result ? result.invalid : changedMeanwhile(object)
  return conclude(api, object, result.applied, {
    ...options,
    before,
    dropped,
    yielded,
    ...(standing === 'adopted' ? { action: 'Adopted' } : {}),
  })
}

/** What was forced cannot be in conflict. */
function changedMeanwhile(object: KubeObject): KubeError {
  return new KubeError('Conflict', `${nameOf(refOf(object))} was changed while it was applied. Try again.`, { transient: true })
}

/** @throws ApplyRefusal where the object is not the release's, and is not to become so */
export function standingOf(before: KubeObject, { release, accepted, takeOver, own, letsGo }: ApplyOptions): Standing {
  const what = nameOf(refOf(before))
  const holder = holderOf(before)
  if (holder !== undefined && holder !== release && letsGo?.(holder, objectKey(refOf(before))) !== true) {
    throw new ApplyRefusal('OwnedByOtherRelease', `${what} belongs to release ${holder}; take it out of one of the two bundles.`)
  }
  // Without its label it is ours all the same: nobody else applies as we do.
  if (ownFields(before, fieldManager) !== undefined) return 'ours'
  const adopted = mayAdopt(before, takeOver?.adopt ?? [])
  if (own !== undefined && own.uid !== before.metadata.uid && (adopted || accepted === true))
    throw new ApplyRefusal('MadeMeanwhile', `${what} was made by somebody else before this release could make it; it is planned anew.`)
  if (accepted === true) return 'ours'
  if (adopted) return 'adopted'
  const managers = [...new Set(fieldOwners(before).map(({ manager }) => `"${manager}"`))]
  const by = managers.length === 0 ? '' : ` (field managers: ${managers.slice(0, 5).join(', ')})`
  throw new ApplyRefusal(
    'NotAdopted',
    `${what} was there before this release and is somebody else's${by}. Let the placement adopt it (adopt), or delete it.`,
  )
}

function refuseTerminating(object: KubeObject): void {
  if (object.metadata.deletionTimestamp === undefined) return
  const finalizers = object.metadata.finalizers ?? []
  const wait = finalizers.length > 0 ? ` (finalizers: ${finalizers.join(', ')})` : ''
  throw new ApplyRefusal('Terminating', `${nameOf(refOf(object))} is being deleted${wait}; it is made again when it is gone.`)
}

/** Managers under which kubectl writes where it does not apply on the server: people's hands. */
const byHand = /^kubectl-/

/** @throws ApplyRefusal for the conflicts that may not be decided by force */
export async function judgeConflicts(
  conflicts: readonly FieldConflict[],
  before: KubeObject,
  standing: Standing,
  { last, takeOver }: ApplyOptions,
): Promise<void> {
  const takeFrom = takeOver?.takeFrom ?? []
  const foreign = conflicts.filter(
    ({ manager }) => manager !== fieldManager && !takeFrom.includes(manager) && !(standing === 'adopted' && byHand.test(manager)),
  )
  if (foreign.length === 0) return
  const applied = standing === 'ours' ? await last?.() : undefined
  const refused = applied === undefined ? foreign : foreign.filter((conflict) => !wasSet(conflict, before, applied))
  if (refused.length === 0) return
  throw new ApplyRefusal(
    'Conflict',
    `Of ${nameOf(refOf(before))}, field manager ${describeConflicts(refused)}, which the bundle sets too. Let the placement take them (conflicts.takeFrom), or take them out of the bundle.`,
  )
}

interface Conclusion extends ApplyOptions {
  /** How the object was; `unread` where that was not asked. */
  readonly before: KubeObject | 'absent' | 'unread'
  readonly dropped?: readonly Addition[]
  readonly yielded?: readonly string[]
  readonly action?: Applied['action']
}

/** After an apply: removes what others added where only the release has a say, from exactly the state that was judged. */
async function conclude(
  api: ClusterApi,
  object: KubeObject,
  applied: KubeObject,
  { before, dropped = [], yielded = [], action, accepted, tolerances = [], signal }: Conclusion,
): Promise<Applied> {
  const known = await forgetUpdates(api, applied, signal)
  const cleaned = await removeAdditions(api, object, known, tolerances, signal)
  const after = cleaned.object
  const ownership = ownershipHash(after, fieldManager)
  if (before === 'unread') return { action: action ?? 'Changed', object: after, ownership }
  if (before === 'absent') {
    const difference = accepted === true ? driftBetween(refOf(object), undefined, after, [], fieldManager) : undefined
    return { action: action ?? 'Created', object: after, ownership, ...(difference === undefined ? {} : { difference }) }
  }
  const difference = driftBetween(refOf(object), before, after, [...dropped, ...cleaned.removed], fieldManager)
  return {
    action: action ?? actionOf(before, after, difference),
    object: after,
    ownership,
    yielded,
    ...(difference === undefined ? {} : { difference }),
  }
}

/**
 * A controller may write the object between our read and our apply, its status most often: a newer resourceVersion alone does not mean
 * that we changed anything.
 */
function actionOf(before: KubeObject, after: KubeObject, difference: Drift | undefined): Applied['action'] {
  if (before.metadata.resourceVersion === after.metadata.resourceVersion) return 'Unchanged'
  const own = ownFields(after, fieldManager) ?? {}
  const kept = difference === undefined && leaves(own).every((path) => same(valueAt(before, path), valueAt(after, path)))
  return kept ? 'Unchanged' : 'Changed'
}
