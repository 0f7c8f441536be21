import { type HookRecord, releaseReasons } from '@muster/api'
import { groupKind, type Health, isHookJob, nameOf, type PlannedObject, refOf, stagesOf, summarizeHealth } from '@muster/reconcile'
import type { Watches } from '../watches.ts'
import { healthOf } from './assess.ts'
import { withHooks } from './hooks.ts'
import type { Outcome, ReleaseRuntime, Rollout, RolloutStage } from './runtime.ts'

/**
 * What was applied whole before is put back all at once: there is nothing new in it that could wait for something, and nothing to run a hook for.
 * @param hooks with which hooks it comes; without, none runs
 */
export function beginRollout(
  of: Pick<Rollout, 'content' | 'trust' | 'bundle' | 'plan' | 'same' | 'asked'>,
  hooks: HookRecord['of'] | undefined,
): Rollout {
  const { plan, same } = of
  const objects = plan.objects.filter((planned) => !isHookJob(planned))
  const cut = same ? [] : stagesOf(objects)
  const stages = cut.length > 0 ? cut : [{ wave: 0, objects, after: [] }]
  return { ...of, stages: hooks === undefined ? stages : withHooks(stages, plan, hooks), next: 0, applied: new Map() }
}

/** Watches tell of every change of what is waited for; this is for what says nothing. Milliseconds. */
const lookAgainMs = 10_000

/** How a release stands whose next wave has to wait; nothing when it may be applied. */
export function waitsForWave(
  runtime: Pick<ReleaseRuntime, 'tracked'>,
  watches: Pick<Watches, 'get'>,
  { stages, next }: Pick<Rollout, 'stages' | 'next'>,
): Outcome | undefined {
  const stage = stages[next]
  const looked = (stage?.after ?? []).map((planned) => {
    const tracked = runtime.tracked.get(planned.key)
    const health: Health = tracked === undefined ? notApplied : healthOf(tracked, watches)
    return { name: nameOf(refOf(planned.object)), health: asDone(planned, health) }
  })
  const summary = summarizeHealth(looked)
  if (stage === undefined || summary.state === 'Healthy') return undefined
  const names = looked.filter(({ health }) => health.state !== 'Healthy' && health.state !== 'Suspended').map(({ name }) => name)
  return {
    ready: false,
    reason: summary.state === 'Degraded' ? releaseReasons.degraded : releaseReasons.progressing,
    message: `${untilWhat(stage)}. ${summary.message}`,
    waitsFor: { what: 'Wave', names },
    requeueAfterMs: lookAgainMs,
  }
}

function untilWhat({ defined, hook, wave }: RolloutStage): string {
  if (defined === true) return 'It waits until the kinds that it defines are served'
  return `${hook === undefined ? `Wave ${wave}` : `Hook ${hook}`} waits until what comes before it is healthy`
}

const notApplied: Health = { state: 'Progressing', reason: 'Missing', message: 'It was not applied yet.' }

/** Who waits for a job waits for its end. A claim may be bound only when something that comes later uses it, so none is waited for. */
function asDone({ object }: PlannedObject, health: Health): Health {
  const kind = groupKind(object)
  if (kind === 'Job.batch' && health.state === 'Healthy' && health.reason === 'Running') return { ...health, state: 'Progressing' }
  if (kind === 'PersistentVolumeClaim' && health.state === 'Progressing' && health.reason === 'Pending')
    return { ...health, state: 'Healthy' }
  return health
}
