import { type InventoryEntry, releaseReasons } from '@muster/api'
import { entryRef, objectKey, remainingEntries } from '@muster/reconcile'
import { type ChannelContent, decidePrune, type PruneDecision } from '@muster/trust'
import { assessRelease } from './assess.ts'
import type { ReleaseServices } from './context.ts'
import { handOver, leaveToUsers, patiently, protectedWait, pruneEntries, pruneOf, pruning, waitsForWishes } from './leftovers.ts'
import { tooEarly } from './patience.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

const lookAgainMs = 10_000
const soonMs = 500

/** What a channel that was accepted says about what is installed and not in it. What another release takes over is not lost. */
export function decide(
  { releases, handover }: Pick<ReleaseServices, 'releases' | 'handover'>,
  content: ChannelContent,
  expired: boolean,
): PruneDecision {
  const rules = handover(content)
  const wanted = new Set(content.releases.map(({ name }) => name))
  const lost = (name: string, inventory: readonly InventoryEntry[]): number =>
    wanted.has(name) ? inventory.length : inventory.filter((entry) => rules.heirOf(objectKey(entryRef(entry)), name) === undefined).length
  const installed = releases.all().map(({ name, inventory }) => ({ release: name, objects: lost(name, inventory) }))
  return decidePrune({ content, installed, expired })
}

/**
 * Takes away a release that the channel does not have any more, when the rules allow it. Undefined when nothing of it is left.
 * What must wait is kept as it is, drift corrected; what another release wants is handed over to it.
 */
export async function remove(
  services: ReleaseServices,
  runtime: ReleaseRuntime,
  content: ChannelContent,
  options: { readonly expired: boolean; readonly signal: AbortSignal },
): Promise<Outcome | undefined> {
  const { expired, signal } = options
  runtime.needsConsent = undefined
  const open = expired ? [] : services.handover(content).undecided(runtime.name)
  if (open.length > 0) return { ready: false, reason: releaseReasons.pruning, message: waitsForWishes(open), requeueAfterMs: soonMs }
  const decision = decide(services, content, expired)
  if (!decision.prune.includes(runtime.name)) return waiting(services, runtime, decision)
  const early = tooEarly(runtime.pruneFailed, pruneOf(content, runtime.inventory), services.clock.now())
  if (early !== undefined) return early
  if (runtime.outcome?.reason !== releaseReasons.pruning) {
    const fields = { release: runtime.name, objects: runtime.inventory.length, generation: content.generation }
    services.logger.info(fields, 'takes away a release that the channel does not have any more')
  }
  await runtime.whileApplying(async () => runtime.release())
  services.releases.index(runtime)
  const { going, moving } = await handOver(services, runtime, content, runtime.inventory, signal)
  const prune = services.objects.get(runtime.name)?.spec.prune
  const results = await pruneEntries(services, runtime, content, going, { prune, leave: prune?.onRemoval === 'orphan', signal })
  moving.push(...leaveToUsers(services, runtime, results))
  runtime.inventory = [...remainingEntries(results), ...moving]
  services.rewatch()
  const held = results.filter(({ outcome }) => outcome === 'NeedsConsent')
  const works = results.some(({ outcome }) => outcome === 'Deleting' || outcome === 'Failed')
  if (held.length > 0 && !works) return protectedWait(runtime, held)
  if (runtime.inventory.length > 0)
    return patiently(services, runtime, pruneOf(content, runtime.inventory), pruning(results, moving), results)
  await services.objects.delete(runtime.name, signal)
  services.releases.drop(runtime.name)
  return undefined
}

function waiting({ watches }: ReleaseServices, runtime: ReleaseRuntime, { reason, message }: PruneDecision): Outcome {
  if (reason === 'PruneNeedsConsent') {
    return {
      ready: false,
      reason: releaseReasons.pruneNeedsConsent,
      message: message ?? 'The prune needs consent.',
      requeueAfterMs: lookAgainMs,
    }
  }
  const outcome = assessRelease(runtime, watches)
  return { ...outcome, message: message === undefined ? outcome.message : `${message} ${outcome.message}`, requeueAfterMs: lookAgainMs }
}
