import { type HookRecord, releaseReasons } from '@muster/api'
import { isKubeError, type KubeObject } from '@muster/kube'
import {
  ApplyRefusal,
  applyPlan,
  type ClusterApi,
  type HookEvent,
  hookJobsAt,
  hookRunOf,
  isHookJob,
  type JobState,
  jobOf,
  jobState,
  nameOf,
  type Plan,
  type PlannedObject,
  refOf,
  type Stage,
  standingOf,
  type TakeOver,
} from '@muster/reconcile'
import { codeOf, messageOf } from '../error.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import { lastWords } from './last-words.ts'
import { keyOf } from './rollback.ts'
import type { Outcome, ReleaseRuntime, RolloutStage } from './runtime.ts'

/** The watch on jobs tells of every change; this is for what says nothing. Milliseconds. */
const lookAgainMs = 10_000
/** A job that must go before it runs again is looked at so soon, in milliseconds. */
const goneAgainMs = 500
/** So long, in milliseconds, the way back waits for a hook of a failure. */
export const maxFailureHookMs = 300_000
/** Nothing changes by itself about a hook that has failed. */
const failedAgainMs = 60_000

/**
 * Puts the hooks of a rollout around its stages. Before it: definitions, namespaces and whatever else says that it is there for a hook,
 * then the jobs one by one. After it: the jobs one by one, once all is healthy.
 */
export function withHooks(stages: readonly Stage<PlannedObject>[], plan: Plan, of: HookRecord['of']): readonly RolloutStage[] {
  const before = hookJobsAt(plan.objects, `before-${of}`).map((job): RolloutStage => ({ ...alone(job), hook: `before-${of}` }))
  const ordinary = plan.objects.filter((planned) => !isHookJob(planned))
  const after = hookJobsAt(plan.objects, `after-${of}`).map(
    (job): RolloutStage => ({ ...alone(job), after: ordinary, hook: `after-${of}` }),
  )
  if (before.length === 0) return [...stages, ...after]
  const needed = new Set(ordinary.filter((planned) => isNeeded(planned, of)))
  const rest = stages.map((stage) => ({ ...stage, objects: stage.objects.filter((planned) => !needed.has(planned)) }))
  return [{ wave: 0, objects: [...needed], after: [] }, ...before, ...rest, ...after]
}

function alone(job: PlannedObject): Stage<PlannedObject> {
  return { wave: job.wave, objects: [job], after: [] }
}

function isNeeded({ phase, hook }: PlannedObject, of: HookRecord['of']): boolean {
  return phase === 'definitions' || phase === 'namespaces' || hook?.events.includes(`before-${of}`) === true
}

/**
 * Decides which run of its hooks a rollout is: another version, or other settings that shape it, is another run. It is written down before
 * any job is made, so that a job tells, also after a crash, whether it was made for this run.
 * @returns with which hooks it comes; undefined where there are none
 */
export async function beginHooks(
  { objects, clock }: ReleaseServices,
  context: ReleaseContext,
  plan: Plan,
  asked: boolean,
): Promise<HookRecord['of'] | undefined> {
  const { runtime, entry, signal } = context
  if (!plan.objects.some(isHookJob)) {
    runtime.hooks = undefined
    return undefined
  }
  const key = keyOf(entry)
  const known = runtime.hooks?.key === key ? runtime.hooks : undefined
  if (known !== undefined && !(asked && known.failed !== undefined)) return known.of
  const first = runtime.applied === undefined && runtime.remembered === undefined
  const { failed: _failed, ...before } = known ?? {
    key,
    of: first ? 'install' : 'upgrade',
    attempt: Math.floor(clock.now().getTime() / 1000),
    done: [],
  }
  runtime.failureHooks.clear()
  runtime.hooksEnded = undefined
  const onFailure = hookJobsAt(plan.objects, 'on-failure').length > 0 ? ({ onFailure: 'pending' } as const) : {}
  runtime.hooks = { ...before, attempt: before.attempt + 1, ...onFailure }
  await objects.write(entry.name, runtime, undefined, signal)
  return before.of
}

/**
 * Brings one job of a hook to its end, as far as that needs no waiting: it is made unless it was made in this run. Undefined when it has
 * succeeded, in this pass or in one before.
 */
export async function runHook(
  services: ReleaseServices,
  context: ReleaseContext,
  { planned, event, api }: { readonly planned: PlannedObject; readonly event: HookEvent; readonly api: ClusterApi },
): Promise<Outcome | undefined> {
  const { runtime, signal } = context
  const record = runtime.hooks
  const ref = refOf(planned.object)
  const name = `${event} ${nameOf(ref)}`
  if (record === undefined || record.done.includes(name)) return undefined
  const run = `${runPrefix(record)}${event}`
  const live = await api.find(ref, { signal })
  if (live === undefined) return make(services, context, planned, { run, name, api })
  if (hookRunOf(live, runtime.name) !== run || live.metadata.deletionTimestamp !== undefined)
    return makeWay(context, planned, { live, name, api })
  const state = endOf(services, live, event)
  if (state.state === 'running') return waits(planned, `Hook ${name} runs; what comes after it waits until it has succeeded.`, lookAgainMs)
  const failed = state.state === 'failed' ? await failure(services, context, { name, live, why: state.why }) : undefined
  if (failed !== undefined) services.logger.warn({ release: runtime.name, hook: name, reason: failed }, 'a hook has failed')
  // What runs because of a failure keeps nothing from going on.
  const stops = failed !== undefined && event !== 'on-failure'
  runtime.hooks = stops ? { ...record, failed: { hook: name, message: failed } } : { ...record, done: [...record.done, name] }
  if (planned.hook?.deleteOn.includes(state.state)) {
    // What says that it was must be written down before it goes.
    await services.objects.write(runtime.name, runtime, undefined, signal)
    await removeJob(api, live, signal)
  }
  return stops ? hookFailed(failed) : undefined
}

/** How the label begins of all jobs that are made for a run. */
export function runPrefix({ key, attempt }: Pick<HookRecord, 'key' | 'attempt'>): string {
  return `${key.slice(0, 24)}-${attempt}.`
}

/** How a job stands; one that runs because of a failure, for no longer than it may keep the last good version from coming back. */
function endOf({ clock }: ReleaseServices, job: KubeObject, event: HookEvent): JobState {
  const state = jobState(job)
  const sinceMs = clock.now().getTime() - Date.parse(job.metadata.creationTimestamp ?? '')
  if (state.state !== 'running' || event !== 'on-failure' || !(sinceMs > maxFailureHookMs)) return state
  return { state: 'failed', why: `it still runs after ${maxFailureHookMs / 1000} s` }
}

/** How a release stands of which a hook has failed. */
export function hookFailed(message: string): Outcome {
  return { ready: false, reason: releaseReasons.hookFailed, message, requeueAfterMs: failedAgainMs }
}

/**
 * What was made for another run, or by somebody else, says nothing of this run, however it ended: it must be gone first. What is not the
 * release's stays, and says so.
 */
async function makeWay(
  { runtime, entry, signal }: ReleaseContext,
  planned: PlannedObject,
  { live, name, api }: { readonly live: KubeObject; readonly name: string; readonly api: ClusterApi },
): Promise<Outcome> {
  try {
    standingOf(live, { release: runtime.name, takeOver: takeOverOf(entry) })
    if (live.metadata.deletionTimestamp === undefined) await removeJob(api, live, signal)
  } catch (error) {
    const passes = !(error instanceof ApplyRefusal) && !(isKubeError(error) && !error.transient)
    if (signal.aborted || passes) throw error
    return notMade(runtime, name, { code: codeOf(error), message: messageOf(error) })
  }
  return waits(planned, `${name} is made anew when the one before is gone.`, goneAgainMs)
}

function takeOverOf({ settings }: ReleaseContext['entry']): TakeOver {
  return { adopt: settings?.adopt ?? [], takeFrom: settings?.conflicts?.takeFrom ?? [] }
}

function notMade(runtime: ReleaseRuntime, name: string, { code, message }: { readonly code: string; readonly message: string }): Outcome {
  return {
    ready: false,
    reason: releaseReasons.applyFailed,
    message: `Hook ${name} could not be made (${code}): ${runtime.discreet(message)}`,
    requeueAfterMs: lookAgainMs,
  }
}

async function make(
  { watches, clock, logger }: ReleaseServices,
  { runtime, entry, signal }: ReleaseContext,
  planned: PlannedObject,
  { run, name, api }: { readonly run: string; readonly name: string; readonly api: ClusterApi },
): Promise<Outcome> {
  watches.add([planned.object])
  // Before it was a hook it may have been an object like others.
  runtime.tracked.delete(planned.key)
  const job = { ...planned, object: jobOf(planned.object, run) }
  const { failures } = await applyPlan(api, [job], {
    release: runtime.name,
    accepted: false,
    nowMs: clock.now().getTime(),
    takeOver: takeOverOf(entry),
    signal,
  })
  const [refused] = failures
  if (refused === undefined) {
    logger.info({ release: runtime.name, hook: name }, 'a hook runs')
    return waits(planned, `Hook ${name} runs; what comes after it waits until it has succeeded.`, lookAgainMs)
  }
  return notMade(runtime, name, refused)
}

function waits({ object }: PlannedObject, message: string, requeueAfterMs: number): Outcome {
  return {
    ready: false,
    reason: releaseReasons.progressing,
    message,
    waitsFor: { what: 'Hook', names: [nameOf(refOf(object))] },
    requeueAfterMs,
  }
}

export async function removeJob(api: ClusterApi, live: KubeObject, signal: AbortSignal): Promise<void> {
  const { uid } = live.metadata
  await api.delete(refOf(live), { propagation: 'Background', ...(uid === undefined ? {} : { uid }), signal })
}

const maxMessage = 2_000

async function failure(
  services: ReleaseServices,
  { runtime, signal }: ReleaseContext,
  { name, live, why }: { readonly name: string; readonly live: KubeObject; readonly why: string },
): Promise<string> {
  const words = await lastWords(services, live, signal)
  const text = `Hook ${name} failed${why === '' ? '' : ` (${why})`}.${words === undefined ? '' : ` ${words}`}`
  const todo = `It runs again with another version, or with muster release reconcile ${runtime.name}.`
  return `${text.slice(0, maxMessage - todo.length - 1)} ${todo}`
}
