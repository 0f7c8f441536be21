import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { health, summarizeHealth } from './health.ts'
import type { HealthState } from './view.ts'

const kinds: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  DaemonSet: 'apps/v1',
  ReplicaSet: 'apps/v1',
  Job: 'batch/v1',
  CronJob: 'batch/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  PodDisruptionBudget: 'policy/v1',
  CustomResourceDefinition: 'apiextensions.k8s.io/v1',
  APIService: 'apiregistration.k8s.io/v1',
  Widget: 'example.test/v1',
}

function object(kind: string, spec: object, status: object, metadata: object = {}): KubeObject {
  return { apiVersion: kinds[kind] ?? 'v1', kind, metadata: { name: 'x', generation: 2, ...metadata }, spec, status }
}

const condition = (type: string, status: string, reason = '', message = ''): object => ({ type, status, reason, message })
const ready = {
  observedGeneration: 2,
  replicas: 2,
  updatedReplicas: 2,
  currentReplicas: 2,
  readyReplicas: 2,
  availableReplicas: 2,
  conditions: [condition('Available', 'True')],
}

describe('the health of', () => {
  it.each<[string, HealthState, string, string, object, object]>([
    ['a deployment whose replicas are available', 'Healthy', 'Healthy', 'Deployment', { replicas: 2 }, ready],
    [
      'a deployment that its controller has not seen',
      'Progressing',
      'LatestGenerationNotObserved',
      'Deployment',
      {},
      { observedGeneration: 1 },
    ],
    ['a deployment without status', 'Progressing', 'NotObserved', 'Deployment', {}, {}],
    ['a deployment scaled to nothing and not seen yet', 'Progressing', 'NotObserved', 'Deployment', { replicas: 0 }, {}],
    ['a deployment with old pods left', 'Progressing', 'RemovingOld', 'Deployment', { replicas: 2 }, { ...ready, replicas: 3 }],
    ['a deployment with pods not ready', 'Progressing', 'NotReady', 'Deployment', { replicas: 2 }, { ...ready, readyReplicas: 1 }],
    [
      'a deployment with pods not available yet',
      'Progressing',
      'NotAvailable',
      'Deployment',
      { replicas: 2 },
      { ...ready, availableReplicas: 0 },
    ],
    [
      'a deployment past its deadline',
      'Degraded',
      'ProgressDeadlineExceeded',
      'Deployment',
      { replicas: 2 },
      { ...ready, readyReplicas: 0, conditions: [condition('Progressing', 'False', 'ProgressDeadlineExceeded', 'too long')] },
    ],
    [
      'a deployment whose pods are refused',
      'Degraded',
      'FailedCreate',
      'Deployment',
      { replicas: 2 },
      { observedGeneration: 2, conditions: [condition('ReplicaFailure', 'True', 'FailedCreate', 'quota')] },
    ],
    ['a paused deployment', 'Suspended', 'Suspended', 'Deployment', { paused: true, replicas: 2 }, ready],
    ['a replica set that is complete', 'Healthy', 'Healthy', 'ReplicaSet', { replicas: 2 }, { ...ready, fullyLabeledReplicas: 2 }],
    [
      'a stateful set that is complete',
      'Healthy',
      'Healthy',
      'StatefulSet',
      { replicas: 2 },
      { ...ready, currentRevision: 'a', updateRevision: 'a' },
    ],
    [
      'a stateful set that updates',
      'Progressing',
      'Updating',
      'StatefulSet',
      { replicas: 2 },
      { ...ready, currentRevision: 'a', updateRevision: 'b' },
    ],
    [
      'a stateful set that updates down to its partition',
      'Healthy',
      'Healthy',
      'StatefulSet',
      { replicas: 2, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } } },
      { ...ready, updatedReplicas: 1, currentRevision: 'a', updateRevision: 'b' },
    ],
    ['a stateful set updated by deletion', 'Healthy', 'Healthy', 'StatefulSet', { updateStrategy: { type: 'OnDelete' } }, {}],
    [
      'a daemon set on all nodes',
      'Healthy',
      'Healthy',
      'DaemonSet',
      {},
      {
        observedGeneration: 2,
        desiredNumberScheduled: 1,
        currentNumberScheduled: 1,
        updatedNumberScheduled: 1,
        numberAvailable: 1,
        numberReady: 1,
      },
    ],
    [
      'a daemon set that misses a node',
      'Progressing',
      'Scheduling',
      'DaemonSet',
      {},
      {
        observedGeneration: 2,
        desiredNumberScheduled: 2,
        currentNumberScheduled: 1,
        updatedNumberScheduled: 2,
        numberAvailable: 1,
        numberReady: 1,
      },
    ],
    ['a job that is complete', 'Healthy', 'Complete', 'Job', {}, { succeeded: 1, conditions: [condition('Complete', 'True')] }],
    [
      'a job that failed',
      'Degraded',
      'BackoffLimitExceeded',
      'Job',
      {},
      { conditions: [condition('Failed', 'True', 'BackoffLimitExceeded')] },
    ],
    ['a job that has not started', 'Progressing', 'NotStarted', 'Job', {}, {}],
    ['a job that runs', 'Healthy', 'Running', 'Job', {}, { startTime: '2026-01-01T00:00:00Z', active: 1 }],
    ['a suspended job', 'Suspended', 'Suspended', 'Job', { suspend: true }, {}],
    ['a suspended schedule', 'Suspended', 'Suspended', 'CronJob', { suspend: true }, {}],
    ['a pod that runs and is ready', 'Healthy', 'Healthy', 'Pod', {}, { phase: 'Running', conditions: [condition('Ready', 'True')] }],
    ['a pod that has ended well', 'Healthy', 'Succeeded', 'Pod', {}, { phase: 'Succeeded' }],
    [
      'a pod that crashes again and again',
      'Degraded',
      'CrashLoopBackOff',
      'Pod',
      {},
      { phase: 'Running', containerStatuses: [{ name: 'c', state: { waiting: { reason: 'CrashLoopBackOff' } } }] },
    ],
    [
      'a pod without a node',
      'Progressing',
      'Unschedulable',
      'Pod',
      {},
      { phase: 'Pending', conditions: [condition('PodScheduled', 'False', 'Unschedulable', 'no room')] },
    ],
    ['a service inside the cluster', 'Healthy', 'Healthy', 'Service', { type: 'ClusterIP' }, {}],
    [
      'a load balancer without an address',
      'Progressing',
      'NoAddress',
      'Service',
      { type: 'LoadBalancer', clusterIP: '192.0.2.9' },
      { loadBalancer: {} },
    ],
    [
      'a load balancer with one',
      'Healthy',
      'Healthy',
      'Service',
      { type: 'LoadBalancer', clusterIP: '192.0.2.9' },
      { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
    ],
    ['a bound claim', 'Healthy', 'Bound', 'PersistentVolumeClaim', {}, { phase: 'Bound' }],
    ['a claim whose volume is lost', 'Degraded', 'Lost', 'PersistentVolumeClaim', {}, { phase: 'Lost' }],
    [
      'a definition that is served',
      'Healthy',
      'Established',
      'CustomResourceDefinition',
      {},
      { conditions: [condition('Established', 'True')] },
    ],
    [
      'a definition whose names are taken',
      'Degraded',
      'ListKindConflict',
      'CustomResourceDefinition',
      {},
      { conditions: [condition('NamesAccepted', 'False', 'ListKindConflict')] },
    ],
    [
      'an API that is not available',
      'Progressing',
      'MissingEndpoints',
      'APIService',
      {},
      { conditions: [condition('Available', 'False', 'MissingEndpoints')] },
    ],
    [
      'an autoscaler that scales',
      'Healthy',
      'Healthy',
      'HorizontalPodAutoscaler',
      {},
      { currentReplicas: 2, conditions: [condition('AbleToScale', 'True'), condition('ScalingActive', 'True')] },
    ],
    [
      'an autoscaler without metrics',
      'Healthy',
      'NoMetrics',
      'HorizontalPodAutoscaler',
      {},
      { conditions: [condition('AbleToScale', 'True'), condition('ScalingActive', 'False', 'FailedGetResourceMetric', 'no metrics API')] },
    ],
    [
      'an autoscaler whose target is not there',
      'Degraded',
      'FailedGetScale',
      'HorizontalPodAutoscaler',
      {},
      { conditions: [condition('AbleToScale', 'False', 'FailedGetScale')] },
    ],
    [
      'a disruption budget that is computed',
      'Healthy',
      'Healthy',
      'PodDisruptionBudget',
      {},
      { observedGeneration: 2, disruptionsAllowed: 0 },
    ],
    ['a custom resource that says nothing', 'Healthy', 'Healthy', 'Widget', {}, {}],
    [
      'a custom resource that is not ready',
      'Progressing',
      'Waiting',
      'Widget',
      {},
      { conditions: [condition('Ready', 'False', 'Waiting')] },
    ],
    ['a custom resource that is stalled', 'Degraded', 'BadSpec', 'Widget', {}, { conditions: [condition('Stalled', 'True', 'BadSpec')] }],
    ['a custom resource that is suspended', 'Suspended', 'Suspended', 'Widget', { suspend: true }, {}],
    ['a custom resource whose status is not an object', 'Unknown', 'StatusUnreadable', 'Widget', {}, []],
    ['a custom resource whose conditions are no list', 'Unknown', 'StatusUnreadable', 'Widget', {}, { conditions: { Ready: 'True' } }],
    [
      'a deployment that says that it is stalled',
      'Degraded',
      'Stuck',
      'Deployment',
      {},
      { conditions: [condition('Stalled', 'True', 'Stuck')] },
    ],
    [
      'a deployment whose new pods are not available yet',
      'Progressing',
      'ReplicaSetUpdated',
      'Deployment',
      { replicas: 2, progressDeadlineSeconds: 600 },
      { ...ready, conditions: [condition('Progressing', 'True', 'ReplicaSetUpdated'), condition('Available', 'True')] },
    ],
    ['a volume that is bound', 'Healthy', 'Bound', 'PersistentVolume', {}, { phase: 'Bound' }],
    ['a volume that could not be reclaimed', 'Degraded', 'Failed', 'PersistentVolume', {}, { phase: 'Failed' }],
  ])('%s is %s (%s)', (_title, state, reason, kind, spec, status) => {
    const result = health(object(kind, spec, status))
    expect(result).toMatchObject({ state, reason })
  })

  it('an object that is being deleted names the finalizers that it waits for', () => {
    const result = health(object('ConfigMap', {}, {}, { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['example.test/hold'] }))
    expect(result).toMatchObject({ state: 'Progressing', reason: 'Terminating' })
    expect(result.message).toContain('example.test/hold')
  })
})

describe('the health of several objects', () => {
  const one = (name: string, state: HealthState, reason = state as string) => ({ name, health: { state, reason, message: `${name} says` } })

  it('is that of the worst, named', () => {
    const result = summarizeHealth([one('a', 'Healthy'), one('b', 'Progressing'), one('c', 'Degraded'), one('d', 'Degraded')])
    expect(result).toMatchObject({ state: 'Degraded', message: 'c: c says (and 1 more)' })
  })

  it('is healthy when some are suspended or lack metrics, and says so', () => {
    const result = summarizeHealth([one('a', 'Healthy'), one('b', 'Suspended'), one('c', 'Healthy', 'NoMetrics')])
    expect(result.state).toBe('Healthy')
    expect(result.message).toContain('b says')
    expect(result.message).toContain('c says')
  })
})
