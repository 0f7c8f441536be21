import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { KubeObject } from '@muster/kube'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../../../test/environment/command.ts'
import { goProgram, peerMs } from '../../../../test/peers/peers.ts'
import { health } from './health.ts'

/** What docs/health.md says is judged otherwise than kstatus does, and nothing else. */
const otherwise: Readonly<Record<string, (object: Judged) => boolean>> = {
  'what is suspended says so': ({ state }) => state === 'Suspended',
  'a workload that its controller has not seen is not healthy': ({ reason }) => reason === 'NotObserved',
  'a deployment that cannot make pods is degraded': ({ kind, state }) => kind === 'Deployment' && state === 'Degraded',
  'a daemon set that is updated by deletion is not waited for': ({ kind, spec }) =>
    kind === 'DaemonSet' && spec.updateStrategy?.type === 'OnDelete',
  'a pod that failed, or that cannot start, is degraded': ({ kind, state }) => kind === 'Pod' && state === 'Degraded',
  'a pod without a node may still get one': ({ kind, reason }) => kind === 'Pod' && reason === 'Unschedulable',
  'a claim whose volume is lost is degraded': ({ kind, reason }) => kind === 'PersistentVolumeClaim' && reason === 'Lost',
  'a load balancer is healthy when it has an address': ({ kind, reason }) => kind === 'Service' && reason === 'NoAddress',
  'kinds that kstatus has no rule for': ({ kind }) => ['APIService', 'HorizontalPodAutoscaler', 'PersistentVolume'].includes(kind),
}

interface Judged {
  readonly kind: string
  readonly spec: { readonly updateStrategy?: { readonly type?: string } }
  readonly state: string
  readonly reason: string
}

const meaning = { Current: 'Healthy', InProgress: 'Progressing', Failed: 'Degraded', Terminating: 'Progressing' } as const
const apiVersions: Readonly<Record<string, string>> = {
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  DaemonSet: 'apps/v1',
  ReplicaSet: 'apps/v1',
  Job: 'batch/v1',
  CronJob: 'batch/v1',
  PodDisruptionBudget: 'policy/v1',
  CustomResourceDefinition: 'apiextensions.k8s.io/v1',
  Widget: 'example.test/v1',
}
const kinds = [...Object.keys(apiVersions), 'Pod', 'Service', 'PersistentVolumeClaim', 'ConfigMap', 'Secret']

const small = fc.integer({ min: 0, max: 3 })
const maybe = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined, freq: 4 })
const oneOf = (...values: string[]) => fc.constantFrom(...values)

/** Counts as controllers write them: of all replicas some are updated, of the ready ones some are available. */
const counts = fc.tuple(small, small, small, small, small).map(([total, updated, ready, available, labelled]) => ({
  replicas: total,
  updatedReplicas: Math.min(updated, total),
  fullyLabeledReplicas: Math.min(labelled, total),
  currentReplicas: Math.min(labelled, total),
  readyReplicas: Math.min(ready, total),
  availableReplicas: Math.min(available, ready, total),
  desiredNumberScheduled: total,
  currentNumberScheduled: Math.min(updated, total),
  updatedNumberScheduled: Math.min(labelled, total),
  numberReady: Math.min(ready, total),
  numberAvailable: Math.min(available, ready, total),
}))
const condition = fc.record({
  type: oneOf(
    ...['Ready', 'Progressing', 'Available', 'ReplicaFailure', 'Reconciling', 'Stalled', 'Complete', 'Failed', 'Suspended'],
    ...['PodScheduled', 'Established', 'NamesAccepted'],
  ),
  status: oneOf('True', 'False', 'Unknown'),
  reason: oneOf('NewReplicaSetAvailable', 'ProgressDeadlineExceeded', 'Unschedulable', 'Installing', 'ReplicaFailure', 'Other'),
  message: fc.constant('why'),
})
/** No job is complete and failed; and names are accepted before a definition is established. */
const possible = (conditions: { type: string; status: string }[]) =>
  conditions
    .filter(({ type }) => type !== 'Failed' || conditions.every((one) => one.type !== 'Complete'))
    .sort((a, b) => Number(b.type === 'NamesAccepted') - Number(a.type === 'NamesAccepted'))
const objects = fc
  .record({
    kind: oneOf(...kinds),
    replicas: maybe(small),
    generation: fc.constantFrom(1, 2),
    deleted: fc.integer({ min: 0, max: 20 }),
    counts: maybe(counts),
    spec: fc.record(
      {
        paused: fc.boolean(),
        suspend: fc.boolean(),
        progressDeadlineSeconds: fc.constantFrom(600, 2_147_483_647),
        type: oneOf('ClusterIP', 'LoadBalancer'),
        clusterIP: oneOf('', '192.0.2.1'),
        updateStrategy: fc.record(
          { type: oneOf('RollingUpdate', 'OnDelete'), rollingUpdate: fc.record({ partition: small }, { requiredKeys: [] }) },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
    status: fc.record(
      {
        observedGeneration: fc.constantFrom(1, 2),
        phase: oneOf('Pending', 'Running', 'Succeeded', 'Failed', 'Bound', 'Lost'),
        conditions: fc.uniqueArray(condition, { maxLength: 3, selector: ({ type }) => type }).map(possible),
        currentRevision: oneOf('a', 'b'),
        updateRevision: oneOf('a', 'b'),
        startTime: fc.constant('2026-01-01T00:00:00Z'),
        succeeded: small,
        containerStatuses: fc.array(
          fc.record({
            name: fc.constant('c'),
            state: fc.record({ waiting: fc.record({ reason: oneOf('CrashLoopBackOff', 'ImagePullBackOff') }) }),
          }),
          { maxLength: 1 },
        ),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ kind, replicas, generation, deleted, counts: counted, spec, status }) =>
    plain({
      apiVersion: apiVersions[kind] ?? 'v1',
      kind,
      metadata: { name: 'x', generation, ...(deleted === 0 ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
      spec: { ...spec, replicas },
      status: { ...counted, ...status },
    }),
  )

function plain(value: unknown): KubeObject {
  return JSON.parse(JSON.stringify(value)) as KubeObject
}

let kstatus: string
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'muster-kstatus-'))
  kstatus = await goProgram(fileURLToPath(new URL('../../../../test/peers/kstatus', import.meta.url)))
}, peerMs)
afterAll(async () => rm(folder, { recursive: true, force: true }))

describe('health, beside kstatus', { timeout: 120_000 }, () => {
  it('says the same of 20,000 objects, but where the documentation says otherwise', async () => {
    const sample = fc.sample(objects, { numRuns: 20_000 })
    const file = path.join(folder, 'objects.json')
    await writeFile(file, JSON.stringify(sample))
    const { stdout } = await run(kstatus, [file])
    const said = JSON.parse(stdout) as (keyof typeof meaning | 'error')[]
    const used = new Set<string>()
    const wrong = sample.flatMap((object, at) => {
      const theirs = said[at]
      // Of what kstatus cannot read nothing can be said.
      if (theirs === undefined || theirs === 'error') return []
      const ours = health(object)
      if (ours.state === meaning[theirs]) return []
      const judged: Judged = { kind: object.kind, spec: object['spec'] as Judged['spec'], state: ours.state, reason: ours.reason }
      const known = Object.entries(otherwise).find(([, applies]) => applies(judged))
      if (known === undefined) return [{ theirs, ours, object }]
      used.add(known[0])
      return []
    })
    expect(wrong.slice(0, 3)).toEqual([])
    expect(used.size).toBeGreaterThan(5)
  })
})
