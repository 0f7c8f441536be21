import { setTimeout as pause } from 'node:timers/promises'
import { KubeError, type KubeObject } from '@muster/kube'
import { type Applied, type ApplyOptions, applyObject } from './apply.ts'
import type { ClusterApi } from './cluster.ts'
import { failureOf, type ObjectFailure } from './failure.ts'
import { nameOf, refOf } from './identity.ts'
import { phases } from './order.ts'
import { isProtected, type PlannedObject } from './plan.ts'
import { ApplyRefusal, type ApplyRefusalCode } from './refusal.ts'

export interface ApplyPlanOptions extends Omit<ApplyOptions, 'expect' | 'last' | 'own'> {
  /** What is known of an object before anything is sent: `as planned` needs no request at all. Default: it is not there. */
  readonly known?: (planned: PlannedObject) => 'as planned' | Pick<ApplyOptions, 'expect' | 'last'>
  /** The uid of an object that the release has made. Default: it has not made it yet. */
  readonly uidOf?: (planned: PlannedObject) => string | undefined
  /** Called after each object, so that its drift is watched from then on. */
  readonly onApplied?: (planned: PlannedObject, applied: Applied) => void
  /** How long a definition may take until it is served, in milliseconds; 0: that is not waited for here. Default 60,000. */
  readonly establishedTimeoutMs?: number
}

export interface PlanOutcome {
  readonly applied: ReadonlyMap<string, Applied>
  readonly failures: readonly ObjectFailure[]
  /** What was planned as missing, and somebody else had made by then. It is used as it is. */
  readonly foreign: readonly PlannedObject[]
}

const concurrency = 4
const defaultEstablishedTimeoutMs = 60_000
const establishedPollMs = 100

/** Applies a plan, phase by phase. One object that fails does not keep the others from being applied, unless the server is away. Throws only when aborted. */
export async function applyPlan(api: ClusterApi, planned: readonly PlannedObject[], options: ApplyPlanOptions): Promise<PlanOutcome> {
  const applied = new Map<string, Applied>()
  const failures: ObjectFailure[] = []
  const foreign: PlannedObject[] = []
  /** Objects in a row for which nobody could be reached: so many at once means that the server is away, and the others would fare no better. */
  let unreached = 0
  const one = async (item: PlannedObject): Promise<void> => {
    try {
      const known = options.known?.(item) ?? {}
      if (known === 'as planned') return
      const own = item.ours && isProtected(item.object) ? { own: { uid: options.uidOf?.(item) } } : {}
      const result = await applyObject(api, item.object, { ...options, ...known, ...own })
      unreached = 0
      applied.set(item.key, result)
      options.onApplied?.(item, result)
    } catch (error) {
      unreached = error instanceof KubeError && error.code === 'Unreachable' ? unreached + 1 : 0
      if (item.optional && isForeign(error)) foreign.push(item)
      else failures.push(refusalOr(item, error, options.signal))
    }
  }
  for (const phase of phases) {
    const items = planned.filter((item) => item.phase === phase)
    // Within a phase the order holds for who starts first; a few are under way at once.
    let next = 0
    const worker = async (): Promise<void> => {
      for (let item = items[next++]; item !== undefined; item = items[next++]) {
        if (unreached >= concurrency) return
        await one(item)
      }
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, items.length) }, worker))
    if (phase === 'definitions' && options.establishedTimeoutMs !== 0) {
      const definitions = items.filter((item) => applied.has(item.key) && !isEstablished(applied.get(item.key)?.object))
      await Promise.all(
        definitions.map(async (item) =>
          established(api, item, options).catch((error: unknown) => failures.push(refusalOr(item, error, options.signal))),
        ),
      )
    }
  }
  return { applied, failures, foreign }
}

/** Somebody else's: another release's, or nobody's whom we know. */
const foreignCodes: ReadonlySet<string> = new Set<ApplyRefusalCode>(['OwnedByOtherRelease', 'NotAdopted', 'MadeMeanwhile'])

function isForeign(error: unknown): boolean {
  return error instanceof ApplyRefusal && foreignCodes.has(error.code)
}

function refusalOr(item: PlannedObject, error: unknown, signal: AbortSignal | undefined): ObjectFailure {
  const ref = refOf(item.object)
  if (error instanceof ApplyRefusal) return { ref, code: error.code, message: error.message, transient: error.transient }
  return failureOf(ref, error, signal)
}

/** Waits until a definition is served: its objects are refused before. */
async function established(api: ClusterApi, item: PlannedObject, options: ApplyPlanOptions): Promise<void> {
  const ref = refOf(item.object)
  const timeoutMs = options.establishedTimeoutMs ?? defaultEstablishedTimeoutMs
  const deadline = AbortSignal.timeout(timeoutMs)
  const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline])
  try {
    for (;;) {
      if (isEstablished(await api.find(ref, { signal }))) return
      await pause(establishedPollMs, undefined, { signal })
    }
  } catch (error) {
    if (!deadline.aborted || options.signal?.aborted) throw error
    throw new ApplyRefusal('NotEstablished', `${nameOf(ref)} is not served after ${timeoutMs / 1000} s; look at its conditions.`)
  }
}

function isEstablished(definition: KubeObject | undefined): boolean {
  const status = definition?.['status'] as { conditions?: readonly { type?: unknown; status?: unknown }[] } | undefined
  return status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True') ?? false
}
