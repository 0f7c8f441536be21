import type { KubeObject } from '@muster/kube'
import { fieldManager } from './cluster.ts'
import { touches } from './fields.ts'
import { holderOf } from './holder.ts'
import { groupKind, objectKey, refOf } from './identity.ts'
import { ownFields } from './managed-fields.ts'

/** Moments of a release's life at which a hook may run. */
export const hookEvents = ['before-install', 'after-install', 'before-upgrade', 'after-upgrade', 'on-failure'] as const
export type HookEvent = (typeof hookEvents)[number]

/** When the job of a hook is deleted: before it runs again (always), and as soon as it has succeeded or failed, where that is said. */
const deletePolicies = ['before-hook-creation', 'hook-succeeded', 'hook-failed'] as const

/** Annotations of an object that is a hook, or that hooks need. */
export const hookAnnotations = {
  events: 'muster.dev/hook',
  weight: 'muster.dev/hook-weight',
  deletion: 'muster.dev/hook-delete-policy',
} as const

/** On the job of a hook: which run it is of. Another run makes it anew. */
const hookRunLabel = 'muster.dev/hook-run'

/** What an object says of itself as a hook. */
export interface Hook {
  readonly events: readonly HookEvent[]
  /** Lower ones run first. */
  readonly weight: number
  readonly deleteOn: readonly ('succeeded' | 'failed')[]
}

/** A planned object, as far as hooks are concerned. */
export interface MaybeHook {
  readonly object: KubeObject
  readonly hook?: Hook | undefined
}

const maxWeight = 1_000_000

/**
 * The hook that an object is; undefined where it is none.
 * @returns a sentence where its annotations say what is no hook
 */
export function hookOf({ metadata }: Pick<KubeObject, 'metadata'>): Hook | string | undefined {
  const { annotations } = metadata
  const said = annotations?.[hookAnnotations.events]
  if (said === undefined) return undefined
  const events = listed(said)
  const unknown = events.find((event) => !isEvent(event))
  if (unknown !== undefined || events.length === 0)
    return `its annotation ${hookAnnotations.events} says "${said.slice(0, 100)}"; it takes ${hookEvents.join(', ')}`
  const weight = annotations?.[hookAnnotations.weight] ?? '0'
  if (!/^[+-]?\d{1,7}$/.test(weight) || Math.abs(Number(weight)) > maxWeight)
    return `its annotation ${hookAnnotations.weight} is no whole number between -1000000 and 1000000`
  const deletion = listed(annotations?.[hookAnnotations.deletion] ?? '')
  if (deletion.some((policy) => !deletePolicies.some((known) => known === policy)))
    return `its annotation ${hookAnnotations.deletion} takes ${deletePolicies.join(', ')}`
  return {
    events: events.filter(isEvent),
    weight: Number(weight),
    deleteOn: (['succeeded', 'failed'] as const).filter((end) => deletion.includes(`hook-${end}`)),
  }
}

function listed(text: string): string[] {
  return text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')
}

function isEvent(text: string): text is HookEvent {
  return hookEvents.some((event) => event === text)
}

/** Whether it is run: a job. What else bears the annotation is there for one, and is applied like anything else. */
export function isHookJob({ hook, object }: MaybeHook): boolean {
  return hook !== undefined && groupKind(object) === 'Job.batch'
}

/** The jobs that run at a moment, in their order: by weight, then by name. */
export function hookJobsAt<T extends MaybeHook>(planned: readonly T[], event: HookEvent): T[] {
  return planned
    .filter((one) => isHookJob(one) && one.hook?.events.includes(event))
    .sort((a, b) => (a.hook?.weight ?? 0) - (b.hook?.weight ?? 0) || (keyOf(a) < keyOf(b) ? -1 : 1))
}

function keyOf({ object }: MaybeHook): string {
  return objectKey(refOf(object))
}

/** The job as it is made for one run. It is what says that this run was, so it goes by its hook's policy and not after a time. */
export function jobOf(object: KubeObject, run: string): KubeObject {
  const { ttlSecondsAfterFinished: _ttl, ...spec } = (object['spec'] ?? {}) as { readonly [key: string]: unknown }
  const { labels } = object.metadata
  return { ...object, metadata: { ...object.metadata, labels: { ...labels, [hookRunLabel]: run } }, spec }
}

/** For which run of a release's hooks a job was made. What somebody else made, or wrote on it, is for none. */
export function hookRunOf(job: KubeObject, release: string): string | undefined {
  if (holderOf(job) !== release) return undefined
  const own = touches(ownFields(job, fieldManager) ?? {}, ['f:metadata', 'f:labels', `f:${hookRunLabel}`])
  return own ? job.metadata.labels?.[hookRunLabel] : undefined
}

/** How a job of a hook stands. */
export type JobState = { readonly state: 'running' | 'succeeded' } | { readonly state: 'failed'; readonly why: string }

/** Reads a job's conditions (Kubernetes documentation, "Jobs", "Terminal Job conditions"). */
export function jobState(job: KubeObject): JobState {
  const { conditions = [] } = (job['status'] ?? {}) as {
    readonly conditions?: readonly {
      readonly type?: string
      readonly status?: string
      readonly reason?: string
      readonly message?: string
    }[]
  }
  const is = (type: string) => conditions.find((one) => one.type === type && one.status === 'True')
  if (is('Complete') !== undefined) return { state: 'succeeded' }
  const failed = is('Failed')
  if (failed === undefined) return { state: 'running' }
  return { state: 'failed', why: [failed.reason, failed.message].filter((part) => part !== undefined && part !== '').join(': ') }
}
