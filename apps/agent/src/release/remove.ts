import { releaseReasons } from '@muster/api'
import { remainingEntries } from '@muster/reconcile'
import { type ChannelContent, decidePrune, type PruneDecision } from '@muster/trust'
import { assessRelease } from './assess.ts'
import type { ReleaseServices } from './context.ts'
import { pruneEntries, pruning } from './leftovers.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

const lookAgainMs = 10_000

/** What a channel that was accepted says about what is installed and not in it. */
export function decide({ releases }: Pick<ReleaseServices, 'releases'>, content: ChannelContent, expired: boolean): PruneDecision {
  const installed = releases.all().map((runtime) => ({ release: runtime.name, objects: runtime.inventory.length }))
  return decidePrune({ content, installed, expired })
}

/**
 * Takes away a release that the channel does not have any more, when the rules allow it. Undefined when nothing of it is left.
 * What must wait is kept as it is, drift corrected.
 */
export async function remove(
  services: ReleaseServices,
  runtime: ReleaseRuntime,
  content: ChannelContent,
  options: { readonly expired: boolean; readonly signal: AbortSignal },
): Promise<Outcome | undefined> {
  const { expired, signal } = options
  const decision = decide(services, content, expired)
  if (!decision.prune.includes(runtime.name)) return waiting(services, runtime, decision)
  if (runtime.outcome?.reason !== releaseReasons.pruning) {
    const fields = { release: runtime.name, objects: runtime.inventory.length, generation: content.generation }
    services.logger.info(fields, 'takes away a release that the channel does not have any more')
  }
  await runtime.whileApplying(async () => runtime.release())
  services.releases.index(runtime)
  const results = await pruneEntries(services, runtime, runtime.inventory, signal)
  runtime.inventory = remainingEntries(results)
  services.rewatch()
  if (runtime.inventory.length > 0) return pruning(results)
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
