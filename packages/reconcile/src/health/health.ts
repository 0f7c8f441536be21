import type { KubeObject } from '@muster/kube'
import { groupKind } from '../identity.ts'
import { platformRules } from './platform.ts'
import { HealthRules } from './rules.ts'
import { degraded, find, type Health, healthy, progressing, type Rule, suspended, unknown, type View, viewOf } from './view.ts'
import { workloadRules } from './workloads.ts'

const rules: ReadonlyMap<string, Rule> = new Map([...workloadRules, ...platformRules])

/**
 * How an object is, by what it says of itself. Follows the published rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus), whose
 * `Current` is `Healthy`, `InProgress` `Progressing`, `Failed` `Degraded`, and adds what people ask next: why. Where it is another
 * than kstatus, docs/health.md says so.
 * @param ofBundle rules for kinds that Kubernetes does not know, as a bundle gives them
 */
export function health(object: KubeObject, ofBundle: HealthRules = HealthRules.none): Health {
  if (!readable(object)) return unknown('StatusUnreadable', 'Its status has not the form that the status of a Kubernetes object has.')
  const view = viewOf(object)
  return general(object, view) ?? ofBundle.judge(object) ?? (rules.get(groupKind(object)) ?? generic)(view)
}

/** What holds for every kind, before its own rule. */
function general(object: KubeObject, { metadata, status, conditions }: View): Health | undefined {
  if (metadata.deletionTimestamp !== undefined) {
    const finalizers = metadata.finalizers ?? []
    const wait = finalizers.length > 0 ? ` It waits for: ${finalizers.join(', ')}.` : ''
    return progressing('Terminating', `It is being deleted.${wait}`)
  }
  const observed = status['observedGeneration']
  if (typeof observed === 'number' && metadata.generation !== undefined && observed !== metadata.generation)
    return progressing('LatestGenerationNotObserved', `Its controller has seen generation ${observed} of ${metadata.generation}.`)
  const told = conditions.find(({ type, status: is }) => is === 'True' && (type === 'Reconciling' || type === 'Stalled'))
  if (told?.type === 'Stalled') return degraded(told.reason || 'Stalled', told.message || `${object.kind} says that it is stalled.`)
  if (told !== undefined) return progressing(told.reason || 'Reconciling', told.message || 'It is reconciling.')
  return undefined
}

/** A kind without a rule of its own: what its condition Ready says, where it has one. */
function generic({ spec, conditions }: View): Health {
  if (spec['suspend'] === true) return suspended('It is suspended.')
  const ready = find(conditions, 'Ready')
  if (ready !== undefined && ready.status !== 'True')
    return progressing(ready.reason || 'NotReady', ready.message || `Its condition Ready is ${ready.status || 'not set'}.`)
  return healthy(ready === undefined ? 'It is there.' : 'It says that it is ready.')
}

/** A status is a map, and conditions in it are a list of maps; or there is none. */
function readable({ status }: KubeObject): boolean {
  if (status === undefined || status === null) return true
  if (typeof status !== 'object' || Array.isArray(status)) return false
  const { conditions } = status as { conditions?: unknown }
  if (conditions === undefined || conditions === null) return true
  return Array.isArray(conditions) && conditions.every((one) => typeof one === 'object' && one !== null && !Array.isArray(one))
}

/** The health of several objects as one: the worst, with what to look at first. Suspended counts as healthy. */
export function summarizeHealth(objects: readonly { readonly name: string; readonly health: Health }[]): Health {
  const worst = (['Degraded', 'Progressing', 'Unknown'] as const).find((state) => objects.some((one) => one.health.state === state))
  if (worst === undefined) {
    const told = objects.filter((one) => one.health.state === 'Suspended' || one.health.reason === 'NoMetrics')
    const also = told.map((one) => ` ${one.name}: ${one.health.message}`).join('')
    return healthy(`${objects.length} of ${objects.length} objects are healthy.${also}`)
  }
  const bad = objects.filter((one) => one.health.state === worst)
  const first = bad[0]
  const more = bad.length > 1 ? ` (and ${bad.length - 1} more)` : ''
  return { state: worst, reason: first?.health.reason ?? worst, message: `${first?.name ?? ''}: ${first?.health.message ?? ''}${more}` }
}
