import type { Health, Rule, View } from './view.ts'
import { count, degraded, find, healthy, list, progressing, record, suspended, text } from './view.ts'

/** What workloads need and what extends the API, by what it says of itself. */
export const platformRules: readonly (readonly [string, Rule])[] = [
  ['Service', service],
  ['PersistentVolumeClaim', claim],
  ['PersistentVolume', volume],
  ['CustomResourceDefinition.apiextensions.k8s.io', definition],
  ['APIService.apiregistration.k8s.io', apiService],
  ['HorizontalPodAutoscaler.autoscaling', autoscaler],
  ['PodDisruptionBudget.policy', disruptionBudget],
  ['Namespace', () => healthy('The namespace is there.')],
  ['ConfigMap', () => healthy('It is there.')],
  ['Secret', () => healthy('It is there.')],
]

function service({ spec, status }: View): Health {
  if (spec['type'] !== 'LoadBalancer') return healthy('It is there.')
  if (text(spec['clusterIP']) === '') return progressing('NoClusterIP', 'It has no cluster IP yet.')
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

function volume({ status }: View): Health {
  const phase = text(status['phase'])
  if (phase === 'Failed') return degraded('Failed', text(status['message']) || 'It could not be reclaimed.')
  if (phase === '' || phase === 'Pending') return progressing('Pending', 'It is not available yet.')
  return healthy(`It is ${phase.toLowerCase()}.`, phase)
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
