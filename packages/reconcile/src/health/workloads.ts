import type { Health, Json, Rule, View } from './view.ts'
import { count, degraded, find, healthy, list, progressing, record, suspended, text } from './view.ts'

/** What runs, by what its controllers say. */
export const workloadRules: readonly (readonly [string, Rule])[] = [
  ['Deployment.apps', deployment],
  ['StatefulSet.apps', statefulSet],
  ['DaemonSet.apps', daemonSet],
  ['ReplicaSet.apps', replicaSet],
  ['Job.batch', job],
  ['CronJob.batch', ({ spec }) => (spec['suspend'] === true ? suspended('The schedule is suspended.') : healthy('The schedule is set.'))],
  ['Pod', pod],
]

function deployment({ spec, status, conditions }: View): Health {
  const progress = find(conditions, 'Progressing')
  if (progress?.reason === 'ProgressDeadlineExceeded') return degraded('ProgressDeadlineExceeded', progress.message)
  const failure = find(conditions, 'ReplicaFailure')
  if (failure?.status === 'True') return degraded(failure.reason || 'ReplicaFailure', failure.message)
  if (spec['paused'] === true) return suspended('The rollout is paused.')
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The deployment controller has not seen it yet.')
  const wanted = count(spec['replicas'], 1)
  const ready = count(status['readyReplicas'])
  const waiting = replicaProgress({
    wanted,
    total: count(status['replicas']),
    updated: count(status['updatedReplicas']),
    ready,
    available: count(status['availableReplicas']),
  })
  if (waiting !== undefined) return waiting
  // Without a deadline the controller does not write the condition Progressing.
  if (count(spec['progressDeadlineSeconds'], noDeadline) !== noDeadline && progress?.reason !== 'NewReplicaSetAvailable')
    return progressing(progress?.reason || 'ReplicaSetNotAvailable', progress?.message || 'Its new replica set is not available yet.')
  const available = find(conditions, 'Available')
  if (available?.status !== 'True')
    return progressing(available?.reason || 'NotAvailable', available?.message || 'It does not say that it is available yet.')
  return healthy(`${ready} of ${wanted} replicas are ready.`)
}

/** What Kubernetes takes for "no deadline": the largest 32-bit integer. */
const noDeadline = 2_147_483_647

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
  if (total < wanted) return progressing('ScalingUp', `${total} of ${wanted} replicas are there.`)
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
  const total = count(status['replicas'])
  if (strategy['type'] === 'OnDelete') return healthy(`${ready} of ${wanted} replicas are ready; updates wait for their deletion.`)
  if (status['observedGeneration'] === undefined) return progressing('NotObserved', 'The stateful set controller has not seen it yet.')
  if (total < wanted) return progressing('ScalingUp', `${total} of ${wanted} replicas are there.`)
  if (ready < wanted) return progressing('NotReady', `${ready} of ${wanted} replicas are ready.`)
  if (total > wanted) return progressing('ScalingDown', `${total - wanted} replicas too many are still there.`)
  const partition = record(strategy['rollingUpdate'])['partition']
  const updated = count(status['updatedReplicas'])
  if (typeof partition === 'number') {
    if (updated < wanted - partition) return progressing('Updating', `${updated} of ${wanted - partition} replicas are updated.`)
    const above = partition > 0 ? `, ${updated} updated (partition ${partition})` : ''
    return healthy(`${ready} of ${wanted} replicas are ready${above}.`)
  }
  if (count(status['currentReplicas']) < wanted || status['currentRevision'] !== status['updateRevision'])
    return progressing('Updating', `${updated} of ${wanted} replicas are updated.`)
  return healthy(`${ready} of ${wanted} replicas are ready.`)
}

function daemonSet({ metadata, spec, status }: View): Health {
  if (status['observedGeneration'] === undefined || metadata.generation === undefined || status['desiredNumberScheduled'] === undefined)
    return progressing('NotObserved', 'The daemon set controller has not seen it yet.')
  const wanted = count(status['desiredNumberScheduled'])
  const ready = count(status['numberReady'])
  const scheduled = count(status['currentNumberScheduled'])
  const updated = count(status['updatedNumberScheduled'])
  const available = count(status['numberAvailable'])
  if (scheduled < wanted) return progressing('Scheduling', `${scheduled} of ${wanted} nodes have a pod.`)
  if (updated < wanted && record(spec['updateStrategy'])['type'] !== 'OnDelete')
    return progressing('Updating', `${updated} of ${wanted} pods are updated.`)
  if (available < wanted) return progressing('NotAvailable', `${available} of ${wanted} pods are available.`)
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
