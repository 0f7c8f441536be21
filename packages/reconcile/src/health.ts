import type { KubeObject } from '@muster/kube'
import { groupKind, nameOf, refOf } from './identity.ts'

export type HealthState = 'Healthy' | 'Progressing' | 'Degraded' | 'Suspended' | 'Unknown'

/** How one object is. `reason` is a CamelCase constant, `message` a sentence that says what it waits for. */
export interface Health {
  readonly state: HealthState
  readonly reason: string
  readonly message: string
}

type Json = { readonly [key: string]: unknown }

interface Condition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
}

const healthy = (message: string, reason = 'Healthy'): Health => ({ state: 'Healthy', reason, message })
const progressing = (reason: string, message: string): Health => ({ state: 'Progressing', reason, message })
const degraded = (reason: string, message: string): Health => ({ state: 'Degraded', reason, message })
const suspended = (message: string): Health => ({ state: 'Suspended', reason: 'Suspended', message })

const rules: ReadonlyMap<string, (object: View) => Health> = new Map<string, (object: View) => Health>([
  ['Deployment.apps', deployment],
  ['StatefulSet.apps', statefulSet],
  ['DaemonSet.apps', daemonSet],
  ['ReplicaSet.apps', replicaSet],
  ['Job.batch', job],
  ['CronJob.batch', (view) => (view.spec['suspend'] === true ? suspended('The schedule is suspended.') : healthy('The schedule is set.'))],
  ['Pod', pod],
  ['Service', service],
  ['PersistentVolumeClaim', claim],
  ['CustomResourceDefinition.apiextensions.k8s.io', definition],
  ['APIService.apiregistration.k8s.io', apiService],
  ['HorizontalPodAutoscaler.autoscaling', autoscaler],
  ['PodDisruptionBudget.policy', disruptionBudget],
  ['Namespace', () => healthy('The namespace is there.')],
])

/**
 * How an object is, by what it says of itself. Follows the published rules of kstatus (sigs.k8s.io/cli-utils, pkg/kstatus), whose
 * `Current` is `Healthy`, `InProgress` `Progressing`, `Failed` `Degraded`, and adds what people ask next: why.
 */
export function health(object: KubeObject): Health {
  const view = viewOf(object)
  if (object.metadata.deletionTimestamp !== undefined) {
    const finalizers = object.metadata.finalizers ?? []
    const wait = finalizers.length > 0 ? ` It waits for: ${finalizers.join(', ')}.` : ''
    return progressing('Terminating', `It is being deleted.${wait}`)
  }
  const observed = view.status['observedGeneration']
  if (typeof observed === 'number' && object.metadata.generation !== undefined && observed < object.metadata.generation) {
    return progressing('LatestGenerationNotObserved', `Its controller has seen generation ${observed} of ${object.metadata.generation}.`)
  }
  const rule = rules.get(groupKind(object))
  return rule === undefined ? generic(view) : rule(view)
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

/** An object's health with its name, as `summarizeHealth` takes it. */
export function namedHealth(object: KubeObject): { readonly name: string; readonly health: Health } {
  return { name: nameOf(refOf(object)), health: health(object) }
}

interface View {
  readonly metadata: KubeObject['metadata']
  readonly spec: Json
  readonly status: Json
  readonly conditions: readonly Condition[]
}

function viewOf(object: KubeObject): View {
  const status = record(object['status'])
  const list: readonly unknown[] = Array.isArray(status['conditions']) ? status['conditions'] : []
  const conditions = list.map(record).map((entry) => ({
    type: text(entry['type']),
    status: text(entry['status']),
    reason: text(entry['reason']),
    message: text(entry['message']),
  }))
  return { metadata: object.metadata, spec: record(object['spec']), status, conditions }
}

function generic({ conditions }: View): Health {
  const stalled = find(conditions, 'Stalled')
  if (stalled?.status === 'True') return degraded(stalled.reason || 'Stalled', stalled.message || 'It says that it is stalled.')
  const reconciling = find(conditions, 'Reconciling')
  if (reconciling?.status === 'True') return progressing(reconciling.reason || 'Reconciling', reconciling.message || 'It is reconciling.')
  const ready = find(conditions, 'Ready')
  if (ready !== undefined && ready.status !== 'True') {
    return progressing(ready.reason || 'NotReady', ready.message || `Its condition Ready is ${ready.status}.`)
  }
  return healthy(ready === undefined ? 'It is there.' : 'It says that it is ready.')
}

function deployment({ spec, status, conditions }: View): Health {
  const progress = find(conditions, 'Progressing')
  if (progress?.reason === 'ProgressDeadlineExceeded') return degraded('ProgressDeadlineExceeded', progress.message)
  const failure = find(conditions, 'ReplicaFailure')
  if (failure?.status === 'True') return degraded(failure.reason || 'ReplicaFailure', failure.message)
  const waiting = replicaProgress({
    wanted: count(spec['replicas'], 1),
    total: count(status['replicas']),
    updated: count(status['updatedReplicas']),
    ready: count(status['readyReplicas']),
    available: count(status['availableReplicas']),
  })
  if (spec['paused'] === true) return suspended('The rollout is paused.')
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The deployment controller has not seen it yet.')
  return waiting ?? healthy(`${count(status['readyReplicas'])} of ${count(spec['replicas'], 1)} replicas are ready.`)
}

function replicaSet({ spec, status, conditions }: View): Health {
  const failure = find(conditions, 'ReplicaFailure')
  if (failure?.status === 'True') return progressing(failure.reason || 'ReplicaFailure', failure.message)
  const wanted = count(spec['replicas'], 1)
  const waiting = replicaProgress({
    wanted,
    total: count(status['replicas']),
    updated: count(status['fullyLabeledReplicas']),
    ready: count(status['readyReplicas']),
    available: count(status['availableReplicas']),
  })
  return waiting ?? healthy(`${count(status['readyReplicas'])} of ${wanted} replicas are ready.`)
}

interface Replicas {
  readonly wanted: number
  readonly total: number
  readonly updated: number
  readonly ready: number
  readonly available: number
}

/** What a replicated workload waits for, or undefined when it waits for nothing. */
function replicaProgress({ wanted, total, updated, ready, available }: Replicas): Health | undefined {
  if (updated < wanted) return progressing('Updating', `${updated} of ${wanted} replicas are updated.`)
  if (total > updated) return progressing('RemovingOld', `${total - updated} old replicas are still there.`)
  if (total > wanted) return progressing('ScalingDown', `${total - wanted} replicas too many are still there.`)
  if (ready < wanted) return progressing('NotReady', `${ready} of ${wanted} replicas are ready.`)
  if (available < wanted) return progressing('NotAvailable', `${available} of ${wanted} replicas are available.`)
  return undefined
}

function statefulSet({ spec, status }: View): Health {
  const strategy = record(spec['updateStrategy'])
  const wanted = count(spec['replicas'], 1)
  const ready = count(status['readyReplicas'])
  if (strategy['type'] === 'OnDelete') return healthy(`${ready} of ${wanted} replicas are ready; updates wait for their deletion.`)
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The stateful set controller has not seen it yet.')
  if (count(status['replicas']) < wanted) return progressing('ScalingUp', `${count(status['replicas'])} of ${wanted} replicas are there.`)
  if (count(status['replicas']) > wanted)
    return progressing('ScalingDown', `${count(status['replicas']) - wanted} replicas too many are still there.`)
  if (ready < wanted) return progressing('NotReady', `${ready} of ${wanted} replicas are ready.`)
  const partition = count(record(strategy['rollingUpdate'])['partition'])
  const updated = count(status['updatedReplicas'])
  if (partition > 0) {
    if (updated < wanted - partition)
      return progressing('Updating', `${updated} of ${wanted - partition} replicas above the partition are updated.`)
    return healthy(`${ready} of ${wanted} replicas are ready, ${updated} updated (partition ${partition}).`)
  }
  if (status['currentRevision'] !== status['updateRevision'])
    return progressing('Updating', `${updated} of ${wanted} replicas are updated.`)
  return healthy(`${ready} of ${wanted} replicas are ready.`)
}

function daemonSet({ spec, status }: View): Health {
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The daemon set controller has not seen it yet.')
  const wanted = count(status['desiredNumberScheduled'])
  const ready = count(status['numberReady'])
  if (record(spec['updateStrategy'])['type'] !== 'OnDelete') {
    const updated = count(status['updatedNumberScheduled'])
    if (updated < wanted) return progressing('Updating', `${updated} of ${wanted} pods are updated.`)
  }
  if (count(status['currentNumberScheduled']) < wanted) {
    return progressing('Scheduling', `${count(status['currentNumberScheduled'])} of ${wanted} nodes have a pod.`)
  }
  if (count(status['numberAvailable']) < wanted)
    return progressing('NotAvailable', `${count(status['numberAvailable'])} of ${wanted} pods are available.`)
  if (ready < wanted) return progressing('NotReady', `${ready} of ${wanted} pods are ready.`)
  return healthy(`${ready} of ${wanted} pods are ready.`)
}

function job({ spec, status, conditions }: View): Health {
  const failed = find(conditions, 'Failed')
  if (failed?.status === 'True') return degraded(failed.reason || 'Failed', failed.message || 'The job failed.')
  if (find(conditions, 'Complete')?.status === 'True')
    return healthy(`The job is complete: ${count(status['succeeded'])} succeeded.`, 'Complete')
  if (spec['suspend'] === true || find(conditions, 'Suspended')?.status === 'True') return suspended('The job is suspended.')
  if (status['startTime'] === undefined) return progressing('NotStarted', 'The job has not started.')
  // As in kstatus, a job that runs is as it should be; whoever needs its end waits for the condition Complete.
  return healthy(
    `The job runs: ${count(status['active'])} active, ${count(status['succeeded'])} succeeded, ${count(status['failed'])} failed.`,
    'Running',
  )
}

/** Reasons of a waiting container that do not pass by waiting. */
const stuckReasons: ReadonlySet<string> = new Set([
  'CrashLoopBackOff',
  'ImagePullBackOff',
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])

function pod({ status, conditions }: View): Health {
  const phase = text(status['phase'])
  if (phase === 'Succeeded') return healthy('It has run to its end.', 'Succeeded')
  if (phase === 'Failed') return degraded(text(status['reason']) || 'Failed', text(status['message']) || 'It failed.')
  const stuck = [...list(status['initContainerStatuses']), ...list(status['containerStatuses'])]
    .map((one) => ({ name: text(one['name']), ...waitingOf(one) }))
    .find(({ reason }) => stuckReasons.has(reason))
  if (stuck !== undefined) return degraded(stuck.reason, `Container ${stuck.name}: ${stuck.message || stuck.reason}`)
  const scheduled = find(conditions, 'PodScheduled')
  if (scheduled?.status === 'False') return progressing(scheduled.reason || 'NotScheduled', scheduled.message || 'It has no node yet.')
  const ready = find(conditions, 'Ready')
  if (phase === 'Running' && ready?.status === 'True') return healthy('It runs and is ready.')
  if (phase === 'Running') return progressing(ready?.reason || 'NotReady', ready?.message || 'It runs and is not ready yet.')
  return progressing(phase || 'Pending', `Its phase is ${phase || 'not set'}.`)
}

function waitingOf(container: Json): { reason: string; message: string } {
  const waiting = record(record(container['state'])['waiting'])
  return { reason: text(waiting['reason']), message: text(waiting['message']) }
}

function service({ spec, status }: View): Health {
  if (spec['type'] !== 'LoadBalancer') return healthy('It is there.')
  const addresses = list(record(status['loadBalancer'])['ingress'])
  if (addresses.length === 0) return progressing('NoAddress', 'The load balancer has no address yet.')
  return healthy(`The load balancer has ${addresses.length} address${addresses.length === 1 ? '' : 'es'}.`)
}

function claim({ status }: View): Health {
  const phase = text(status['phase'])
  if (phase === 'Bound') return healthy('It is bound.', 'Bound')
  if (phase === 'Lost') return degraded('Lost', 'Its volume is lost.')
  return progressing(phase || 'Pending', `Its phase is ${phase || 'not set'}; it waits for a volume, or for a pod that uses it.`)
}

function definition({ conditions }: View): Health {
  const names = find(conditions, 'NamesAccepted')
  if (names?.status === 'False') return degraded(names.reason || 'NamesNotAccepted', names.message)
  const established = find(conditions, 'Established')
  if (established?.status === 'True') return healthy('It is served.', 'Established')
  if (established?.status === 'False' && established.reason !== 'Installing')
    return degraded(established.reason || 'NotEstablished', established.message)
  return progressing('Installing', established?.message || 'It is not served yet.')
}

function apiService({ conditions }: View): Health {
  const available = find(conditions, 'Available')
  if (available?.status === 'True') return healthy('It is available.', 'Available')
  return progressing(available?.reason || 'NotAvailable', available?.message || 'It is not available yet.')
}

/** Reasons of an autoscaler that it has no figures to scale by: no fault of the release, and the workload keeps its size. */
const noMetrics = /^FailedGet.*Metric$/

function autoscaler({ status, conditions }: View): Health {
  const able = find(conditions, 'AbleToScale')
  if (able?.status === 'False') return degraded(able.reason || 'NotAbleToScale', able.message)
  const active = find(conditions, 'ScalingActive')
  if (active?.status === 'False' && noMetrics.test(active.reason)) {
    return healthy(`It cannot read metrics, so it keeps the number of replicas as it is: ${active.message}`, 'NoMetrics')
  }
  if (active?.status === 'False' && active.reason === 'ScalingDisabled')
    return suspended('Its target has no replicas, so it does not scale.')
  if (active?.status === 'False') return progressing(active.reason || 'ScalingInactive', active.message)
  // Its controller looks at a new one only after up to 15 s; until then the workload has the replicas that it has.
  if (able === undefined) return healthy('Its controller has not looked at it yet.', 'NotObserved')
  return healthy(`It keeps ${count(status['currentReplicas'])} replicas.`)
}

function disruptionBudget({ status }: View): Health {
  // kstatus: current as soon as its controller has computed it; whether disruptions are allowed is not its health.
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The disruption controller has not seen it yet.')
  return healthy(`${count(status['disruptionsAllowed'])} disruptions are allowed.`)
}

function find(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find((condition) => condition.type === type)
}

function record(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

function list(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(record) : []
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function count(value: unknown, otherwise = 0): number {
  return typeof value === 'number' ? value : otherwise
}
