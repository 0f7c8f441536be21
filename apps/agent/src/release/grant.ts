import { releaseReasons } from '@muster/api'
import { type ClusterApi, type Plan, refOf } from '@muster/reconcile'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

/** What a person must grant or mend is looked at again after this long, in milliseconds. */
const againMs = 30_000

/**
 * As whom a release is applied: as the agent itself where it has no tenant; as its tenant where the grants have everything in it; as the
 * agent again where they do not any more and it is exactly what was applied within them before (docs/adr/0012). Else it is refused, by the
 * names of what is outside, before anything is written.
 */
export function actFor(
  { client, tenancy }: Pick<ReleaseServices, 'client' | 'tenancy'>,
  { entry, runtime }: Pick<ReleaseContext, 'entry' | 'runtime'>,
  target: { readonly version: string; readonly content: string },
  plan: Plan,
): ClusterApi | Outcome {
  const tenant = entry.settings?.tenant
  if (tenant === undefined) return client
  const objection = tenancy.objection(
    tenant,
    plan.objects.map(({ object }) => refOf(object)),
  )
  if (objection === undefined) return tenancy.acting(tenant)
  if (appliedBefore(runtime, target.content)) return client
  const running = runtime.applied ?? runtime.remembered
  const kept = running === undefined ? 'Nothing was applied.' : runs(runtime, running.version)
  return {
    ready: false,
    reason: releaseReasons.notGranted,
    message: `${objection} Version ${target.version} is not applied. ${kept}`,
    requeueAfterMs: againMs,
  }
}

function runs({ complete, applied }: ReleaseRuntime, version: string): string {
  if (applied !== undefined && !complete)
    return `A change of it was under way when the right to it ended: what runs is partly new and partly ${version}.`
  return `Version ${version} runs on.`
}

/** Whether this very content was applied whole before. */
function appliedBefore({ applied, complete, remembered }: ReleaseRuntime, content: string): boolean {
  return applied === undefined ? remembered?.content === content : complete && applied.content === content
}

/** What is healthy and not granted any more is said to be so: it is kept as signed, and nothing new is taken. */
export function orGrantEnded(
  outcome: Outcome,
  { tenancy }: Pick<ReleaseServices, 'tenancy'>,
  { entry, runtime }: Pick<ReleaseContext, 'entry' | 'runtime'>,
): Outcome {
  const tenant = entry.settings?.tenant
  if (tenant === undefined || !outcome.ready) return outcome
  const objection = tenancy.objection(
    tenant,
    [...runtime.tracked.values()].map(({ planned }) => refOf(planned.object)),
  )
  if (objection === undefined) return outcome
  const message = `${objection} What runs is kept as signed, and nothing new is taken. ${outcome.message}`
  return { ...outcome, reason: releaseReasons.grantEnded, message }
}
