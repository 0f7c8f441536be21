import type { KubeObject, Ref } from '@muster/kube'
import { type ClusterApi, calling, releaseLabel } from './cluster.ts'
import { contentOf, customResourcesOf } from './content.ts'
import { failureOf } from './failure.ts'
import { describeFinalizers } from './finalizers.ts'
import { holderOf } from './holder.ts'
import { groupKind, nameOf } from './identity.ts'
import { entryRef, type InventoryEntry } from './inventory.ts'
import { compareForPrune, compareSteps } from './order.ts'
import { isToStay, orphan } from './orphan.ts'
import { isProtected } from './plan.ts'

/** What became of one entry of the inventory. */
export interface PruneResult {
  /** With the uid of the object, where that was not known and it is the release's. */
  readonly entry: InventoryEntry
  /**
   * `Gone`: it is not there any more. `Deleting`: deletion was asked for and waits (finalizers, dependents).
   * `Kept`: it is not the release's to delete, or is to stay, and leaves the inventory. `NeedsConsent`: what would be lost with it nobody
   * can bring back, so that somebody must say it first. `Failed`: tried, to be tried again.
   * `Waiting`: not tried yet, since what is of a later phase or wave is not gone, or what another release still has in it and lets go.
   * `InUse`: another release has something in it, and stays: it is left to that one, to go with it.
   */
  readonly outcome: 'Gone' | 'Deleting' | 'Kept' | 'NeedsConsent' | 'Failed' | 'Waiting' | 'InUse'
  /** What it waits for, or why it was kept or failed. */
  readonly message: string
  /** Who uses it, where it is `InUse`. */
  readonly user?: string
}

/** What another release has in an object. */
export interface Use {
  readonly release: string
  readonly message: string
  /** It goes too, so that it is waited for; otherwise the object is left to it. */
  readonly goes: boolean
}

export interface PruneOptions {
  readonly release: string
  /** Who else uses an object, such as a namespace in which another release runs; undefined when nobody does. */
  readonly inUse?: (ref: Ref) => Use | undefined
  /** Whether somebody has consented to what is lost with this object. Default: nobody has. */
  readonly consented?: (entry: InventoryEntry) => boolean
  /** Deletes nothing: what is the release's is left as it is, with nobody to keep it. */
  readonly leave?: boolean
  readonly signal?: AbortSignal
}

/**
 * Deletes what an inventory lists, in reverse order of application, and only that: an object must still bear the release's label, and is
 * deleted with its uid as a precondition, so that another object of the same name is never hit. Of what was written down before it was made, and
 * the uid never was, the label must be applied by the agent: it applies none to what somebody else made in its place. A namespace in which others have
 * objects is kept, unless somebody consents to their loss; so is a definition with custom resources; a claim or volume, and what is needed
 * by it, waits for consent. An object with the annotation `muster.dev/prune: keep` stays. Call again until nothing waits.
 */
export async function prune(api: ClusterApi, entries: readonly InventoryEntry[], options: PruneOptions): Promise<PruneResult[]> {
  const ordered = [...entries].sort(compareForPrune)
  const results: PruneResult[] = []
  let waitingFor: InventoryEntry | undefined
  for (const entry of ordered) {
    if (waitingFor !== undefined && compareSteps(waitingFor, entry) !== 0) {
      results.push({ entry, outcome: 'Waiting', message: `It waits until ${nameOf(waitingFor)} is gone.` })
      continue
    }
    const result = await pruneOne(api, entry, options)
    results.push(result)
    if (!leaves.has(result.outcome)) waitingFor ??= entry
  }
  return results
}

/** Outcomes with which an entry leaves the inventory, and nothing waits for it. */
const leaves: ReadonlySet<PruneResult['outcome']> = new Set(['Gone', 'Kept', 'InUse'] as const)

/** Entries that stay in the inventory after a prune: those that are not gone yet, and are nobody else's. */
export function remainingEntries(results: readonly PruneResult[]): InventoryEntry[] {
  return results.filter(({ outcome }) => !leaves.has(outcome)).map((result) => result.entry)
}

/** An entry with the uid of its object, where a crash or a lost answer kept it from being written down, and the object is the release's. */
export function recognized(entry: InventoryEntry, live: KubeObject, release: string): InventoryEntry {
  const { uid } = live.metadata
  return entry.uid !== undefined || uid === undefined || holderOf(live) !== release ? entry : { ...entry, uid }
}

async function pruneOne(api: ClusterApi, listed: InventoryEntry, options: PruneOptions): Promise<PruneResult> {
  const ref = entryRef(listed)
  const { signal } = options
  let entry = listed
  try {
    const live = await api.find(ref, calling(signal))
    if (live === undefined) return { entry, outcome: 'Gone', message: 'It is not there.' }
    entry = recognized(listed, live, options.release)
    const left = await leftAlone(api, entry, live, options)
    if (left !== undefined) return { entry, ...left }
    if (live.metadata.deletionTimestamp === undefined && live.metadata.uid !== undefined) {
      // In the background: in the foreground, an object of a new kind waits until the garbage collector has learnt of it, half a minute.
      await api.delete(ref, { propagation: 'Background', uid: live.metadata.uid, ...calling(signal) })
    }
    const still = await api.find(ref, calling(signal))
    if (still === undefined) return { entry, outcome: 'Gone', message: 'It was deleted.' }
    return { entry, outcome: 'Deleting', message: whatItWaitsFor(still) }
  } catch (error) {
    const failure = failureOf(ref, error, signal)
    // Its definition is gone, so are its objects.
    if (failure.code === 'UnknownKind') return { entry, outcome: 'Gone', message: 'Its kind is not served any more.' }
    return { entry, outcome: 'Failed', message: failure.message }
  }
}

/** Why an object is not deleted; undefined where it is to be. */
async function leftAlone(
  api: ClusterApi,
  entry: InventoryEntry,
  live: KubeObject,
  { release, inUse, consented, leave, signal }: PruneOptions,
): Promise<Omit<PruneResult, 'entry'> | undefined> {
  const kept = whyKept(entry, live, release)
  if (kept !== undefined) return { outcome: 'Kept', message: kept }
  const goes = live.metadata.deletionTimestamp !== undefined
  if (!goes && (leave === true || isToStay(live))) {
    await orphan(api, live, signal)
    return { outcome: 'Kept', message: leave === true ? 'It is left as it is.' : 'It says muster.dev/prune: keep, and stays.' }
  }
  const use = inUse?.(entryRef(entry))
  if (use?.goes === true) return { outcome: 'Waiting', message: use.message }
  if (use !== undefined) return { outcome: 'InUse', message: use.message, user: use.release }
  if (goes || !isProtected(entry)) return undefined
  const isOwn = entry.madeBy === undefined || holderOf(live) === release
  if (isOwn && consented?.(entry) === true) return undefined
  const lost = await whatIsLost(api, entry, live, signal)
  // Of what was left to it, it has no say over what others have in it.
  return isOwn ? lost : lost && { outcome: 'Kept', message: lost.message }
}

/** What nobody could bring back, were a protected object deleted; undefined where there is nothing of that kind. */
async function whatIsLost(
  api: ClusterApi,
  entry: InventoryEntry,
  live: KubeObject,
  signal: AbortSignal | undefined,
): Promise<Pick<PruneResult, 'outcome' | 'message'> | undefined> {
  const kind = groupKind(entry)
  if (kind === 'Namespace') {
    const inside = await contentOf(api, entry.name, maxNamed, signal)
    return inside.length === 0 ? undefined : { outcome: 'Kept', message: whoIsInside(inside) }
  }
  if (kind === 'CustomResourceDefinition.apiextensions.k8s.io') {
    const resources = await customResourcesOf(api, live, maxNamed, signal)
    if (resources.length === 0) return undefined
    return { outcome: 'NeedsConsent', message: `With it go custom resources that the release did not make: ${resources.join(', ')}.` }
  }
  return { outcome: 'NeedsConsent', message: 'With it goes the data that it holds.' }
}

/** How many objects are named that keep a namespace. */
const maxNamed = 3

function whoIsInside(names: readonly string[]): string {
  const more = names.length < maxNamed ? '' : ' and perhaps more'
  return `It holds what the release did not make: ${names.join(', ')}${more}. Delete the namespace by hand when nobody needs that.`
}

function whyKept(entry: InventoryEntry, live: KubeObject, release: string): string | undefined {
  const holder = live.metadata.labels?.[releaseLabel]
  if (holder !== release && (holder === undefined || holder !== entry.madeBy))
    return `It does not bear the label ${releaseLabel}=${release}${holder === undefined ? '' : ` but ${holder}`}.`
  const known = entry.uid !== undefined && entry.uid === live.metadata.uid
  if (!known && holderOf(live) !== release) return `The release did not make it: the label ${releaseLabel} on it is another's.`
  if (isProtected(entry) && !known) {
    return `A ${groupKind(entry)} is deleted only when it is known to be the one that the release made.`
  }
  return undefined
}

function whatItWaitsFor(live: KubeObject): string {
  const finalizers = describeFinalizers(live)
  const status = live['status'] as { conditions?: readonly { type?: string; status?: string; message?: string }[] } | undefined
  // A namespace says in its conditions which content keeps it.
  const said = (status?.conditions ?? [])
    .filter((condition) => condition.status === 'True' && /Remaining|Failure/.test(condition.type ?? ''))
    .map((condition) => condition.message ?? '')
    .filter((message) => message !== '')
  const parts = [...(finalizers.length > 0 ? [`finalizers ${finalizers.join(', ')}`] : []), ...said]
  return parts.length > 0 ? `It is being deleted and waits for: ${parts.join('; ')}.` : 'It is being deleted.'
}
