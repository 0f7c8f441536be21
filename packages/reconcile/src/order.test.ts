import type { Ref } from '@muster/kube'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareForApply, compareForPrune, phaseOf } from './order.ts'

const refs: readonly Ref[] = [
  { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: 'widgets.example.test' },
  { apiVersion: 'v1', kind: 'Namespace', name: 'shop' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', name: 'web', namespace: 'shop' },
  { apiVersion: 'v1', kind: 'ServiceAccount', name: 'web', namespace: 'shop' },
  { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', name: 'web', namespace: 'shop' },
  { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: 'data', namespace: 'shop' },
  { apiVersion: 'v1', kind: 'ConfigMap', name: 'web', namespace: 'shop' },
  { apiVersion: 'v1', kind: 'Service', name: 'web', namespace: 'shop' },
  { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', namespace: 'shop' },
  { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'web', namespace: 'shop' },
  { apiVersion: 'example.test/v1', kind: 'Widget', name: 'one', namespace: 'shop' },
  { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'ValidatingWebhookConfiguration', name: 'web' },
]

describe('the order', () => {
  it('puts what is needed first, whatever order the bundle has, and prunes the other way round', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...refs], { minLength: refs.length }), (mixed) => {
        expect([...mixed].sort(compareForApply)).toEqual(refs)
        expect([...mixed].sort(compareForPrune)).toEqual([...refs].reverse())
      }),
    )
  })

  it('puts lower waves first inside a group of phases, and waves never before definitions and namespaces or behind webhooks', () => {
    const waves = [0, 0, 0, 0, 0, 5, 0, -1, 1, 2, 3, -7]
    const mixed = refs.map((ref, at) => ({ ...ref, wave: waves[at] ?? 0 }))
    const names = ({ kind }: Ref) => kind
    const order = [
      ...['CustomResourceDefinition', 'Namespace'],
      ...['Service', 'Role', 'ServiceAccount', 'RoleBinding', 'ConfigMap', 'Deployment', 'HorizontalPodAutoscaler', 'Widget'],
      ...['PersistentVolumeClaim', 'ValidatingWebhookConfiguration'],
    ]
    expect([...mixed].sort(compareForApply).map(names)).toEqual(order)
    expect([...mixed].sort(compareForPrune).map(names)).toEqual(order.reverse())
  })

  it('takes kinds of the community’s groups for custom resources, and kinds of the API server’s for its own', () => {
    expect(phaseOf({ apiVersion: 'gateway.networking.x-k8s.io/v1', kind: 'Gateway' })).toBe('custom')
    expect(phaseOf({ apiVersion: 'cluster.x-k8s.io/v1', kind: 'Cluster' })).toBe('custom')
    expect(phaseOf({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' })).toBe('workloads')
    expect(phaseOf({ apiVersion: 'batch/v1', kind: 'Job' })).toBe('workloads')
  })
})
