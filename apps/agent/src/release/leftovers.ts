import type { InventoryEntry } from '@muster/api'
import { releaseReasons } from '@muster/api'
import { entryOf, isProtected, nameOf, type PruneResult, prune, remainingEntries, subtractInventory } from '@muster/reconcile'
import type { ReleaseServices, Step } from './context.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

const lookAgainMs = 500
const slowAgainMs = 5_000

/** Deletes what an earlier version made and the present one does not have, once the present one is healthy. */
export const pruneLeftovers: Step = async (services, { runtime, rolledBack, signal }) => {
  const wanted = [...runtime.tracked.values()].filter((tracked) => tracked.planned.ours).map((tracked) => entryOf(tracked.planned.object))
  const all = subtractInventory(runtime.inventory, wanted)
  // What holds data outlives a version that has yet to prove itself, and one that failed: the next may want it.
  const leftovers = rolledBack || runtime.trial !== undefined ? all.filter((entry) => !isProtected(entry)) : all
  if (leftovers.length === 0) return undefined
  const results = await pruneEntries(services, runtime, leftovers, signal)
  const remaining = remainingEntries(results)
  runtime.inventory = [...subtractInventory(runtime.inventory, leftovers), ...remaining]
  services.rewatch()
  return remaining.length === 0 ? undefined : pruning(results)
}

/** Prunes some of a release's inventory, keeping what other releases need. */
export async function pruneEntries(
  { logger, releases, tenancy }: ReleaseServices,
  runtime: ReleaseRuntime,
  entries: readonly InventoryEntry[],
  signal: AbortSignal,
): Promise<PruneResult[]> {
  const results = await prune(tenancy.keeping(runtime.tenant), entries, {
    release: runtime.name,
    inUse: (ref) => {
      const user = releases.all().find((other) => other !== runtime && uses(other, ref))
      return user === undefined ? undefined : `Release ${user.name} uses it.`
    },
    signal,
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

/** Whether a release would lose objects with this one: those in a namespace, or of a definition's group. */
function uses(runtime: ReleaseRuntime, ref: { readonly kind: string; readonly name: string }): boolean {
  if (ref.kind === 'Namespace') return runtime.inventory.some((entry) => entry.namespace === ref.name)
  if (ref.kind !== 'CustomResourceDefinition') return false
  const group = ref.name.slice(ref.name.indexOf('.') + 1)
  return runtime.inventory.some((entry) => entry.apiVersion.startsWith(`${group}/`))
}

/** A prune that goes on, told by what it waits for. */
export function pruning(results: readonly PruneResult[]): Outcome {
  const open = results.filter((result) => result.outcome === 'Deleting' || result.outcome === 'Failed')
  const first = open[0]
  const left = remainingEntries(results).length
  const failed = open.some((result) => result.outcome === 'Failed')
  return {
    ready: false,
    reason: releaseReasons.pruning,
    message: `${left} objects are still to be pruned.${first === undefined ? '' : ` ${nameOf(first.entry)}: ${first.message}`}`,
    requeueAfterMs: failed ? slowAgainMs : lookAgainMs,
  }
}
