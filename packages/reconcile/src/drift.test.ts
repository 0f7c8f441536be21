import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { additionsByOthers, removalPatch } from './additions.ts'
import { describeDrift, driftBetween, isDrifted, managersOf } from './drift.ts'
import { fieldManager, releaseLabel } from './index.ts'
import { ownedValuesHash, ownershipHash } from './managed-fields.ts'
import { leaveReplicasToAutoscalers } from './plan.ts'

type Entry = NonNullable<KubeObject['metadata']['managedFields']>[number]

const entry = (manager: string, operation: 'Apply' | 'Update', fieldsV1: Entry['fieldsV1'], subresource?: string): Entry => ({
  manager,
  operation,
  fieldsType: 'FieldsV1',
  time: '2026-01-01T00:00:00Z',
  ...(fieldsV1 === undefined ? {} : { fieldsV1 }),
  ...(subresource === undefined ? {} : { subresource }),
})

const inPod = (fields: object): Record<string, unknown> => ({ 'f:spec': { 'f:template': { 'f:spec': fields } } })
const ours = { ...inPod({ 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:name': {}, 'f:image': {} } } }) }

function deployment(managedFields: Entry[], pod: object = { containers: [{ name: 'web', image: 'a' }] }): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'shop', resourceVersion: '7', managedFields },
    spec: { template: { spec: pod } },
  }
}

const asApplied = deployment([entry(fieldManager, 'Apply', ours)])
const expected = ownershipHash(asApplied, fieldManager)

describe('drift is', () => {
  it('not what happens in the status, in defaults, annotations, or by the scale subresource', () => {
    const object = deployment([
      entry(fieldManager, 'Apply', ours),
      entry('kube-controller-manager', 'Update', { 'f:status': { 'f:replicas': {} } }, 'status'),
      entry('kube-controller-manager', 'Update', { 'f:spec': { 'f:replicas': {} } }, 'scale'),
      entry('kubectl', 'Update', { 'f:metadata': { 'f:annotations': { 'f:note': {} } } }),
    ])
    expect(isDrifted(object, fieldManager, expected)).toBe(false)
  })

  it('a field that another took, a label that went, ownership that went altogether', () => {
    const taken = deployment([entry(fieldManager, 'Apply', inPod({ 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:name': {} } } }))])
    expect(isDrifted(taken, fieldManager, expected)).toBe(true)
    expect(isDrifted(deployment([]), fieldManager, expected)).toBe(true)
  })

  it('a write under our own name: by its time, and by the values where that is of the same second', () => {
    const same = deployment([entry(fieldManager, 'Apply', ours)], { containers: [{ name: 'web', image: 'evil' }] })
    const later = deployment([{ ...entry(fieldManager, 'Apply', ours), time: '2026-01-01T00:00:01Z' }], {
      containers: [{ name: 'web', image: 'evil' }],
    })
    expect(isDrifted(later, fieldManager, expected)).toBe(true)
    expect(isDrifted(same, fieldManager, expected)).toBe(false)
    expect(ownedValuesHash(same, fieldManager)).not.toBe(ownedValuesHash(asApplied, fieldManager))
    expect(ownedValuesHash({ ...asApplied, status: { replicas: 3 } }, fieldManager)).toBe(ownedValuesHash(asApplied, fieldManager))
    const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'shop' }
    expect(driftBetween(ref, same, asApplied, [], fieldManager)?.changes).toEqual([
      {
        path: '.spec.template.spec.containers[name=web].image',
        what: 'changed',
        by: { manager: fieldManager, operation: 'Apply', time: '2026-01-01T00:00:00Z' },
      },
    ])
  })

  it('what another added to a pod template, and not that another owns a map in which we own a field', () => {
    const whole = entry('kubectl', 'Update', inPod({ 'f:containers': { '.': {}, 'k:{"name":"web"}': { '.': {}, 'f:image': {} } } }))
    expect(additionsByOthers(deployment([entry(fieldManager, 'Apply', ours), whole]), fieldManager)).toEqual([])
    const added = entry('kubectl', 'Update', inPod({ 'f:hostNetwork': {} }))
    expect(isDrifted(deployment([entry(fieldManager, 'Apply', ours), added]), fieldManager, expected)).toBe(true)
  })

  it('what another added below a map that we own empty', () => {
    const empty = entry(fieldManager, 'Apply', inPod({ 'f:securityContext': {} }))
    const added = entry('kubectl', 'Update', inPod({ 'f:securityContext': { 'f:runAsUser': {} } }))
    expect(additionsByOthers(deployment([empty, added]), fieldManager)).toHaveLength(1)
  })

  it('not that the aggregation controller fills the rules of a ClusterRole', () => {
    const role: KubeObject = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: {
        name: 'x',
        managedFields: [
          entry(fieldManager, 'Apply', { 'f:aggregationRule': {} }),
          entry('clusterrole-aggregation-controller', 'Apply', { 'f:rules': {} }),
        ],
      },
    }
    expect(additionsByOthers(role, fieldManager)).toEqual([])
  })
})

describe('a removal', () => {
  it('takes out the last item first, guarded by the version that was judged', () => {
    const object = deployment([], { containers: [{ name: 'a' }, { name: 'web' }, { name: 'b' }], hostPID: true })
    const below = (path: string[]) => ['f:spec', 'f:template', 'f:spec', ...path]
    const patch = removalPatch(object, [
      below(['f:containers', 'k:{"name":"a"}']),
      below(['f:containers', 'k:{"name":"b"}']),
      below(['f:containers', 'k:{"name":"b"}', 'f:image']),
      below(['f:hostPID']),
      below(['f:gone']),
    ])
    expect(patch).toEqual([
      { op: 'test', path: '/metadata/resourceVersion', value: '7' },
      { op: 'remove', path: '/spec/template/spec/hostPID' },
      { op: 'remove', path: '/spec/template/spec/containers/2' },
      { op: 'remove', path: '/spec/template/spec/containers/0' },
    ])
  })

  it('is not asked for when nothing is there to remove', () => {
    expect(removalPatch(asApplied, [['f:spec', 'f:gone']])).toBeUndefined()
  })
})

describe('a description of drift', () => {
  const ref = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'shop' }

  it('says which paths, by which manager, when', () => {
    const before = deployment([
      entry(fieldManager, 'Apply', inPod({ 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:name': {} } } })),
      entry('kubectl-edit', 'Update', inPod({ 'f:containers': { 'k:{"name":"web"}': { 'f:image': {} } } })),
    ])
    const drift = driftBetween(ref, before, asApplied, [], fieldManager)
    expect(drift && managersOf(drift)).toEqual(['kubectl-edit'])
    expect(drift && describeDrift(drift)).toBe(
      'Deployment shop/web was brought back to what is signed: .spec.template.spec.containers[name=web].image changed by field manager "kubectl-edit" (Update, 2026-01-01T00:00:00Z).',
    )
  })

  it('fits into an Event, however much changed', () => {
    const changes = Array.from({ length: 500 }, (_, i) => ({ path: `.spec.${'x'.repeat(300)}${i}`, what: 'removed' as const }))
    expect(describeDrift({ ref, type: 'Changed', changes }).length).toBeLessThanOrEqual(1000)
  })

  it('says of a deletion that nobody keeps a trace of who did it', () => {
    expect(describeDrift({ ref, type: 'Deleted', changes: [] })).toContain('deleted')
  })
})

describe('replicas', () => {
  it('are left to the autoscaler that the bundle brings for them, and to no other', () => {
    const workload = (name: string): KubeObject => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: { replicas: 2, paused: false },
    })
    const scaler: KubeObject = {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'web' },
      spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' } },
    }
    expect(leaveReplicasToAutoscalers([workload('web'), workload('db'), scaler]).map((object) => object['spec'])).toEqual([
      { paused: false },
      { replicas: 2, paused: false },
      scaler['spec'],
    ])
    expect(releaseLabel).toBe('muster.dev/release')
  })
})
