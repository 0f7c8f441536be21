import type { InventoryEntry } from '@muster/api'
import { releaseReasons } from '@muster/api'
import { type ClusterApi, entryRef, isProtected, type Plan, type PlannedObject, recognized, refOf, unionInventory } from '@muster/reconcile'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import { givenTo } from './handover.ts'
import { targetOf } from './runtime.ts'

/** Notes what a release wants, as soon as that is known, so that others know what becomes of objects that move between them. */
export function takeWishes(
  { releases, wake }: ReleaseServices,
  { runtime, entry, content }: ReleaseContext,
  digest: string,
  plan: Plan,
): void {
  // What cannot be planned may be an object that another release has.
  if (digest !== entry.bundle.digest || plan.failures.length > 0) return
  const target = targetOf(entry) ?? ''
  const changed = runtime.wishes?.target !== target || runtime.wishes?.generation !== content.generation
  runtime.wishes = { target, generation: content.generation, keys: new Set(plan.objects.map(({ key }) => key)) }
  if (!changed) return
  for (const other of releases.all()) if (other !== runtime && other.outcome?.reason === releaseReasons.applyFailed) wake(other.name)
}

/** What was known of a release's wishes holds under a newer channel that wants the same of it. */
export function renewWishes({ runtime, entry, content: { generation } }: ReleaseContext): void {
  const { wishes } = runtime
  if (wishes !== undefined && wishes.generation !== generation && wishes.target === targetOf(entry))
    runtime.wishes = { ...wishes, generation }
}

/**
 * What comes back with the last good version, without what has moved to another release since: that release has it, and the channel wants it
 * there. A rollback brings back content, and takes nothing from others.
 */
export function withoutMoved({ watches, handover }: ReleaseServices, { runtime, content, rolledBack }: ReleaseContext, plan: Plan): Plan {
  if (!rolledBack) return plan
  const rules = handover(content)
  const objects = plan.objects.filter(({ key, object }) => {
    const seen = watches.get(refOf(object))
    const holder = typeof seen === 'object' ? seen.holder : undefined
    return holder === undefined || holder === runtime.name || rules.heirOf(key, runtime.name) !== holder
  })
  return { ...plan, objects }
}

/** Takes over what other releases let go: from here on it is this one's, with what says that it is the same, and they correct it no more. */
export async function takeOver(
  { client, releases, handover, wake }: ReleaseServices,
  { runtime, content, signal }: ReleaseContext,
  plan: Plan,
): Promise<Plan> {
  const rules = handover(content)
  const objects: PlannedObject[] = []
  for (const planned of plan.objects) {
    const holder = releases.ownerOf(planned.key)
    if (holder !== undefined && holder !== runtime && rules.letsGo(holder.name, planned.key)) holder.tracked.delete(planned.key)
    const offered: InventoryEntry[] = []
    for (const { by, entry } of planned.ours || !isProtected(planned.object) ? [] : rules.offers(runtime.name, planned.key)) {
      const known = await recognize(client, entry, by, signal)
      // One without a uid was written down, and somebody else made it.
      if (known.uid === undefined) continue
      offered.push(givenTo(runtime.name, known))
      // What was left to it, it has looked at before and found in use.
      wake(by)
    }
    if (offered.length > 0) runtime.inventory = unionInventory(runtime.inventory, offered)
    objects.push(offered.length === 0 ? planned : { ...planned, ours: true })
  }
  return { ...plan, objects }
}

/** An entry of a release with its uid, where a crash kept that from being written down and the object is the release's. */
export async function recognize(
  api: Pick<ClusterApi, 'find'>,
  entry: InventoryEntry,
  release: string,
  signal: AbortSignal,
): Promise<InventoryEntry> {
  if (entry.uid !== undefined || !isProtected(entry)) return entry
  const live = await api.find(entryRef(entry), { signal })
  return live === undefined ? entry : recognized(entry, live, release)
}
