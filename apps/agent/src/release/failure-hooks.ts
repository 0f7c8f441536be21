import { entryRef, groupKind, hookJobsAt, hookRunOf, isHookJob, jobState, nameOf } from '@muster/reconcile'
import { BundleRefusal } from '../bundle-loader.ts'
import { codeOf, messageOf } from '../error.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import { actFor } from './grant.ts'
import { maxFailureHookMs, removeJob, runHook, runPrefix } from './hooks.ts'
import { planOf, verified } from './release-bundle.ts'
import { awaitsFailureHooks, keyOf } from './rollback.ts'
import { contentOf, type Outcome, type ReleaseRuntime } from './runtime.ts'

/** Ends jobs of a version that was taken back which still run: they would go on changing what the last good version works with. */
export const endHooks: Step = async ({ tenancy, logger }, { runtime, wanted, rolledBack, signal }) => {
  const { hooks } = runtime
  if (!rolledBack || hooks?.key !== keyOf(wanted) || runtime.hooksEnded === hooks.key) return undefined
  const api = tenancy.keeping(runtime.tenant)
  try {
    for (const entry of runtime.inventory.filter((one) => groupKind(one) === 'Job.batch')) {
      const job = await api.find(entryRef(entry), { signal })
      const run = job && hookRunOf(job, runtime.name)
      if (job === undefined || run?.startsWith(runPrefix(hooks)) !== true || run.endsWith('.on-failure')) continue
      if (jobState(job).state !== 'running' || job.metadata.deletionTimestamp !== undefined) continue
      await removeJob(api, job, signal)
      logger.warn({ release: runtime.name, object: nameOf(entry) }, 'a hook of a version that was taken back still ran, and is ended')
    }
    runtime.hooksEnded = hooks.key
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const fields = { release: runtime.name, code: codeOf(error), reason: messageOf(error) }
    logger.warn(fields, 'a hook of a version that was taken back could not be ended; it is tried again')
  }
  return undefined
}

/** Runs what a version that has failed wants run then: once, and before anything is taken back. Whatever comes of it, the way goes on. */
export const runFailureHooks: Step = async (services, context) => {
  const { runtime, entry, wanted, rolledBack, signal } = context
  const failed = rolledBack ? wanted : entry
  const key = keyOf(failed)
  if (!awaitsFailureHooks(runtime, key)) return undefined
  if (!rolledBack && runtime.failedKey !== key) return undefined
  try {
    const outcome = await run(services, { ...context, entry: failed })
    if (outcome !== undefined) return outcome
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (!(error instanceof BundleRefusal)) throw error
    services.logger.warn({ release: runtime.name, code: codeOf(error), reason: messageOf(error) }, 'hooks of a failure cannot be run')
  }
  runtime.failureHooks.clear()
  if (runtime.hooks !== undefined) {
    const { onFailure: _ran, ...rest } = runtime.hooks
    runtime.hooks = rest
  }
  return undefined
}

async function run(services: ReleaseServices, context: ReleaseContext): Promise<Outcome | undefined> {
  const { runtime, entry } = context
  const bundle = await verified(services, context, entry.bundle, true)
  const plan = await planOf(services, context, bundle)
  // While they run, it is their jobs that are looked at.
  runtime.hookJobs = new Set(plan.objects.filter(isHookJob).map(({ key }) => key))
  services.releases.index(runtime)
  const api = actFor(services, context, { version: bundle.version, content: contentOf(entry) }, plan)
  if ('reason' in api) {
    services.logger.warn({ release: runtime.name, reason: api.message }, 'hooks of a failure cannot be run')
    return undefined
  }
  for (const planned of hookJobsAt(plan.objects, 'on-failure')) {
    if (isOverdue(services, runtime, planned.key)) {
      services.logger.warn({ release: runtime.name, object: planned.key }, 'a hook of a failure did not come to its end; the way goes on')
      continue
    }
    const outcome = await runHook(services, context, { planned, event: 'on-failure', api })
    if (outcome !== undefined) return outcome
  }
  return undefined
}

/** Whether a hook was waited for long enough, also one that cannot even be made. An agent that starts anew begins anew. */
function isOverdue({ clock }: Pick<ReleaseServices, 'clock'>, runtime: ReleaseRuntime, key: string): boolean {
  const nowMs = clock.monotonicMs()
  const sinceMs = runtime.failureHooks.get(key) ?? nowMs
  runtime.failureHooks.set(key, sinceMs)
  return nowMs - sinceMs > maxFailureHookMs
}
