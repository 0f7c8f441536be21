import type { KubeObject, Ref } from '@muster/kube'
import { type ClusterApi, calling, releaseLabel } from './cluster.ts'
import { contentOf } from './content.ts'
import { failureOf } from './failure.ts'
import { groupKind, nameOf } from './identity.ts'
import { entryRef, type InventoryEntry } from './inventory.ts'
import { compareForPrune, phaseOf } from './order.ts'
import { isProtected } from './plan.ts'

/** What became of one entry of the inventory. */
export interface PruneResult {
  readonly entry: InventoryEntry
  /**
   * `Gone`: it is not there any more. `Deleting`: deletion was asked for and waits (finalizers, dependents).
   * `Kept`: it is not the release's to delete, and leaves the inventory. `Failed`: tried, to be tried again.
   * `Waiting`: not tried yet, since an earlier phase is not gone.
   */
  readonly outcome: 'Gone' | 'Deleting' | 'Kept' | 'Failed' | 'Waiting'
  /** What it waits for, or why it was kept or failed. */
  readonly message: string
}

export interface PruneOptions {
  readonly release: string
  /** Why an object may not be deleted now, such as a namespace in which another release runs; undefined when it may. */
  readonly inUse?: (ref: Ref) => string | undefined
  readonly signal?: AbortSignal
}

/**
 * Deletes what an inventory lists, in reverse order of application, and only that: an object must still bear the release's label, and is
 * deleted with its uid as a precondition, so that another object of the same name is never hit. A namespace in which others have
 * objects is kept. Call again until nothing waits.
 */
export async function prune(api: ClusterApi, entries: readonly InventoryEntry[], options: PruneOptions): Promise<PruneResult[]> {
  const ordered = [...entries].sort((a, b) => compareForPrune(entryRef(a), entryRef(b)))
  const results: PruneResult[] = []
  let waitingFor: { readonly phase: string; readonly name: string } | undefined
  for (const entry of ordered) {
    const phase = phaseOf(entry)
    if (waitingFor !== undefined && waitingFor.phase !== phase) {
      results.push({ entry, outcome: 'Waiting', message: `It waits until ${waitingFor.name} is gone.` })
      continue
    }
    const result = await pruneOne(api, entry, options)
    results.push(result)
    if (result.outcome === 'Deleting' || result.outcome === 'Failed') waitingFor ??= { phase, name: nameOf(entryRef(entry)) }
  }
  return results
}

/** Entries that stay in the inventory after a prune: those that are not gone yet. */
export function remainingEntries(results: readonly PruneResult[]): InventoryEntry[] {
  return results.filter((result) => result.outcome !== 'Gone' && result.outcome !== 'Kept').map((result) => result.entry)
}

async function pruneOne(api: ClusterApi, entry: InventoryEntry, { release, inUse, signal }: PruneOptions): Promise<PruneResult> {
  const ref = entryRef(entry)
  try {
    const live = await api.find(ref, calling(signal))
    if (live === undefined) return { entry, outcome: 'Gone', message: 'It is not there.' }
    const kept = whyKept(entry, live, release) ?? inUse?.(ref)
    if (kept !== undefined) return { entry, outcome: 'Kept', message: kept }
    if (live.metadata.deletionTimestamp === undefined && live.metadata.uid !== undefined) {
      const inside = groupKind(ref) === 'Namespace' ? await contentOf(api, ref.name, maxNamed, signal) : []
      if (inside.length > 0) return { entry, outcome: 'Kept', message: whoIsInside(inside) }
      // In the background: in the foreground, an object of a new kind waits until the garbage collector has learnt of it, half a minute.
      await api.delete(ref, { propagation: 'Background', uid: live.metadata.uid, ...calling(signal) })
    }
    const left = await api.find(ref, calling(signal))
    if (left === undefined) return { entry, outcome: 'Gone', message: 'It was deleted.' }
    return { entry, outcome: 'Deleting', message: whatItWaitsFor(left) }
  } catch (error) {
    const failure = failureOf(ref, error, signal)
    // Its definition is gone, so are its objects.
    if (failure.code === 'UnknownKind') return { entry, outcome: 'Gone', message: 'Its kind is not served any more.' }
    return { entry, outcome: 'Failed', message: failure.message }
  }
}

/** How many objects are named that keep a namespace. */
const maxNamed = 3

function whoIsInside(names: readonly string[]): string {
  const more = names.length < maxNamed ? '' : ' and perhaps more'
  return `It holds what the release did not make: ${names.join(', ')}${more}. Delete the namespace by hand when nobody needs that.`
}

function whyKept(entry: InventoryEntry, live: KubeObject, release: string): string | undefined {
  const holder = live.metadata.labels?.[releaseLabel]
  if (holder !== release) return `It does not bear the label ${releaseLabel}=${release}${holder === undefined ? '' : ` but ${holder}`}.`
  if (isProtected(entry) && (entry.uid === undefined || entry.uid !== live.metadata.uid)) {
    return `A ${groupKind(entry)} is deleted only when it is known to be the one that the release made.`
  }
  return undefined
}

function whatItWaitsFor(live: KubeObject): string {
  const finalizers = live.metadata.finalizers ?? []
  const status = live['status'] as { conditions?: readonly { type?: string; status?: string; message?: string }[] } | undefined
  // A namespace says in its conditions which content keeps it.
  const said = (status?.conditions ?? [])
    .filter((condition) => condition.status === 'True' && /Remaining|Failure/.test(condition.type ?? ''))
    .map((condition) => condition.message ?? '')
    .filter((message) => message !== '')
  const parts = [...(finalizers.length > 0 ? [`finalizers ${finalizers.join(', ')}`] : []), ...said]
  return parts.length > 0 ? `It is being deleted and waits for: ${parts.join('; ')}.` : 'It is being deleted.'
}
