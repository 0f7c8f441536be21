import type { InventoryEntry } from '@muster/api'
import { releaseReasons } from '@muster/api'
import {
  entryRef,
  isProtected,
  nameOf,
  objectKey,
  type PruneResult,
  prune,
  remainingEntries,
  subtractInventory,
  type Use,
  unionInventory,
} from '@muster/reconcile'
import type { ChannelContent } from '@muster/trust'
import { assessRelease } from './assess.ts'
import { consentedTo, largeShare, needing } from './consent.ts'
import type { ReleaseServices, Step } from './context.ts'
import { givenTo, type Handover, has } from './handover.ts'
import { timesOf, tooEarly } from './patience.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'
import { recognize } from './wishes.ts'

const lookAgainMs = 500
const slowAgainMs = 5_000
/** Longest wait until what is being deleted is looked at again, and until a deletion that failed is tried again, in milliseconds. */
const deletingMaxMs = 2_000
const failedMaxMs = 60_000

/** Deletes what an earlier version made and the present one does not have, once the present one is healthy, and no other wants it. */
export const pruneLeftovers: Step = async (services, { runtime, entry, rolledBack, content, signal }) => {
  runtime.needsConsent = undefined
  const all = leftoversOf(runtime, services.handover(content))
  // What holds data outlives a version that has yet to prove itself, and one that failed: the next may want it.
  const leftovers = rolledBack || runtime.trial !== undefined ? all.filter((one) => !isProtected(one)) : all
  if (leftovers.length === 0) return undefined
  const early = tooEarly(runtime.pruneFailed, pruneOf(content, leftovers), services.clock.now())
  if (early !== undefined) return early
  const standing = assessRelease(runtime, services.watches)
  const open = services.handover(content).undecided(runtime.name)
  if (open.length > 0) return { ...standing, message: `${standing.message} ${waitsForWishes(open)}`, requeueAfterMs: lookAgainMs }
  const { going, moving } = await handOver(services, runtime, content, leftovers, signal)
  runtime.inventory = subtractInventory(runtime.inventory, subtractInventory(leftovers, [...going, ...moving]))
  const large = largeShare(
    { going: going.length, all: runtime.inventory.length, digest: entry.bundle.digest },
    entry.settings?.prune,
    runtime.site,
  )
  if (large !== undefined) {
    runtime.needsConsent = needing(going, entry.bundle.digest)
    return { ...standing, reason: releaseReasons.pruneNeedsConsent, message: large, requeueAfterMs: slowAgainMs }
  }
  const results = await pruneEntries(services, runtime, content, going, { prune: entry.settings?.prune, signal })
  moving.push(...leaveToUsers(services, runtime, results))
  const remaining = [...remainingEntries(results), ...moving]
  runtime.inventory = [...subtractInventory(runtime.inventory, leftovers), ...remaining]
  services.rewatch()
  if (remaining.length === 0) return undefined
  const held = results.filter(({ outcome }) => outcome === 'NeedsConsent')
  const works = results.some(({ outcome }) => outcome === 'Deleting' || outcome === 'Failed')
  if (held.length === 0 || works) return patiently(services, runtime, pruneOf(content, remaining), pruning(results, moving), results)
  return { ...protectedWait(runtime, held), ready: standing.ready }
}

/**
 * What the present version does not have. In a namespace, or of a definition, of which it has objects nothing of that is a leftover yet: it goes with
 * the last of them, unless another release takes it.
 */
function leftoversOf(runtime: ReleaseRuntime, rules: Handover): readonly InventoryEntry[] {
  const kept = runtime.inventory.filter((one) => isKept(runtime, objectKey(entryRef(one))))
  if (kept.length === runtime.inventory.length) return []
  return subtractInventory(runtime.inventory, kept).filter(
    (one) => insideOf({ inventory: kept }, one).length === 0 || rules.heirOf(objectKey(entryRef(one)), runtime.name) !== undefined,
  )
}

/** Whether the present version has it: its hooks' jobs say what ran. */
function isKept({ tracked, hookJobs }: ReleaseRuntime, key: string): boolean {
  return tracked.has(key) || hookJobs.has(key)
}

/** What stands for a prune: as soon as something of it is gone, it is another. */
export function pruneOf({ generation }: Pick<ChannelContent, 'generation'>, left: readonly InventoryEntry[]): string {
  return `${generation} ${left.length}`
}

/** A prune that goes on: looked at ever less often while nothing more of it goes. */
export function patiently(
  { clock }: Pick<ReleaseServices, 'clock'>,
  runtime: ReleaseRuntime,
  of: string,
  outcome: Outcome,
  results: readonly PruneResult[],
): Outcome {
  const failed = results.some((result) => result.outcome === 'Failed')
  if (!failed && !results.some((result) => result.outcome === 'Deleting')) return outcome
  const times = timesOf(runtime.pruneFailed, of)
  const [baseMs, maxMs] = failed ? [slowAgainMs, failedMaxMs] : [lookAgainMs, deletingMaxMs]
  const waitMs = Math.min(maxMs, baseMs * 2 ** Math.min(times - 1, 10))
  const patient = { ...outcome, requeueAfterMs: waitMs }
  runtime.pruneFailed = { of, times, untilMs: clock.now().getTime() + waitMs, outcome: patient }
  return patient
}

/** While it is not known what others want, nothing goes. */
export function waitsForWishes(names: readonly string[]): string {
  const named = names.slice(0, 5).join(', ')
  return `Nothing of it is deleted until it is known what ${named}${names.length > 5 ? ' and others' : ''} will hold: an object may move there.`
}

/** What waits for somebody's word, since nobody could bring it back. */
export function protectedWait(runtime: ReleaseRuntime, held: readonly PruneResult[]): Outcome {
  runtime.needsConsent = needing(held.map(({ entry }) => entry))
  const first = held[0]
  const more = held.length > 1 ? ` (and ${held.length - 1} more)` : ''
  const what = first === undefined ? '' : `${nameOf(first.entry)}${more}: ${first.message} `
  return {
    ready: false,
    reason: releaseReasons.protectedNeedsConsent,
    message: `${what}It stays until somebody consents to that (muster release consent).`,
    requeueAfterMs: slowAgainMs,
  }
}

/**
 * Gives to other releases of what is not wanted here any more what they want. `moving` is not theirs yet: it is when they have written it down, and
 * it bears their name.
 */
export async function handOver(
  { client, releases, handover, wake, logger }: ReleaseServices,
  runtime: ReleaseRuntime,
  content: ChannelContent,
  entries: readonly InventoryEntry[],
  signal: AbortSignal,
): Promise<{ going: InventoryEntry[]; moving: InventoryEntry[] }> {
  const rules = handover(content)
  const going: InventoryEntry[] = []
  const moving: InventoryEntry[] = []
  for (const listed of entries) {
    const heir = releases.get(rules.heirOf(objectKey(entryRef(listed)), runtime.name) ?? '')
    const entry = heir === undefined ? listed : await recognize(client, listed, runtime.name, signal)
    // What was written down and is another's is nothing that could be given.
    if (heir === undefined || (isProtected(entry) && entry.uid === undefined)) {
      going.push(entry)
      continue
    }
    const wanted = isProtected(entry) ? entry : entryRef(entry)
    const written = has(heir.written, wanted)
    if (written && (await labelOf(client, entry, signal)) !== runtime.name) {
      logger.info({ release: runtime.name, to: heir.name, object: nameOf(entry) }, 'handed over an object')
      continue
    }
    if (!has(heir.inventory, wanted)) heir.inventory = unionInventory(heir.inventory, [givenTo(heir.name, entry)])
    moving.push(entry)
    wake(heir.name)
  }
  return { going, moving }
}

async function labelOf(client: ReleaseServices['client'], entry: InventoryEntry, signal: AbortSignal): Promise<string | undefined> {
  const live = await client.find(entryRef(entry), { signal })
  return live?.metadata.labels?.['muster.dev/release']
}

/**
 * Leaves to others what is in use by them: it stays in this inventory until it is written down in theirs, so that whoever is the last takes it away.
 * Gives what is not written down yet.
 */
export function leaveToUsers(
  { releases, wake, logger }: Pick<ReleaseServices, 'releases' | 'wake' | 'logger'>,
  { name }: ReleaseRuntime,
  results: readonly PruneResult[],
): InventoryEntry[] {
  return results.flatMap(({ entry, user }) => {
    const heir = releases.get(user ?? '')
    if (heir === undefined) return []
    const left = givenTo(heir.name, { ...entry, madeBy: entry.madeBy ?? name })
    const known = has(heir.inventory, left)
    if (known && has(heir.written, left)) {
      logger.info({ release: name, to: heir.name, object: nameOf(entry) }, 'left an object to a release that uses it')
      return []
    }
    if (!known) heir.inventory = unionInventory(heir.inventory, [left])
    wake(heir.name)
    return [entry]
  })
}

/** Prunes some of a release's inventory, keeping what other releases need. */
export async function pruneEntries(
  { handover, logger, releases, tenancy }: ReleaseServices,
  runtime: ReleaseRuntime,
  content: ChannelContent,
  entries: readonly InventoryEntry[],
  options: { readonly prune: Parameters<typeof consentedTo>[1]; readonly leave?: boolean; readonly signal: AbortSignal },
): Promise<PruneResult[]> {
  const results = await prune(tenancy.keeping(runtime.tenant), entries, {
    release: runtime.name,
    inUse: (ref) => useByOthers(releases.all(), runtime, ref, handover(content)),
    consented: (entry) => consentedTo(entry, options.prune, runtime.site),
    ...(options.leave === true ? { leave: true } : {}),
    signal: options.signal,
  })
  for (const { entry, outcome, message } of results) {
    const fields = { release: runtime.name, object: nameOf(entry), reason: message }
    if (outcome === 'Gone') logger.debug(fields, 'pruned an object')
    if (outcome === 'Kept') logger.warn(fields, 'an object is kept')
    if (outcome === 'Failed') logger.warn(fields, 'an object could not be pruned')
  }
  const gone = results.filter((result) => result.outcome === 'Gone').length
  if (gone > 0) logger.info({ release: runtime.name, pruned: gone, left: remainingEntries(results).length }, 'pruned objects')
  return results
}

/** Which of the others would lose objects with this one: rather one that keeps them than one that lets them go. */
function useByOthers(all: readonly ReleaseRuntime[], runtime: ReleaseRuntime, ref: Lost, rules: Handover): Use | undefined {
  let leaving: ReleaseRuntime | undefined
  for (const other of all) {
    const inside = other === runtime ? [] : insideOf(other, ref)
    if (inside.some((entry) => !rules.letsGo(other.name, objectKey(entryRef(entry)))))
      return { release: other.name, message: `Release ${other.name} uses it.`, goes: false }
    if (inside.length > 0) leaving ??= other
  }
  return leaving && { release: leaving.name, message: `Release ${leaving.name} still has objects in it, which are to go too.`, goes: true }
}

type Lost = Pick<InventoryEntry, 'kind' | 'name'>

/** What of a release would be lost with an object: what is in a namespace, or of a definition's group. */
function insideOf({ inventory }: Pick<ReleaseRuntime, 'inventory'>, { kind, name }: Lost): readonly InventoryEntry[] {
  if (kind === 'Namespace') return inventory.filter(({ namespace }) => namespace === name)
  if (kind !== 'CustomResourceDefinition') return []
  const group = name.slice(name.indexOf('.') + 1)
  return inventory.filter(({ apiVersion }) => apiVersion.startsWith(`${group}/`))
}

/** A prune that goes on, told by what it waits for. */
export function pruning(results: readonly PruneResult[], moving: readonly InventoryEntry[] = []): Outcome {
  const open = results.filter((result) => result.outcome === 'Deleting' || result.outcome === 'Failed')
  const first = open[0] ?? results.find((result) => result.outcome === 'Waiting')
  const left = remainingEntries(results).length
  const parts = [
    ...(left === 0 ? [] : [`${left} ${left === 1 ? 'object is' : 'objects are'} still to be pruned.`]),
    ...(first === undefined ? [] : [`${nameOf(first.entry)}: ${first.message}`]),
    ...(moving[0] === undefined ? [] : [`${moving.length} to be handed over to another release: ${nameOf(moving[0])}.`]),
  ]
  return {
    ready: false,
    reason: releaseReasons.pruning,
    message: parts.join(' '),
    requeueAfterMs: lookAgainMs,
  }
}
