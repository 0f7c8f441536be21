import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { describeFinalizers } from './finalizers.ts'

type ManagedFields = NonNullable<KubeObject['metadata']['managedFields']>

const held = (finalizers: string[], managedFields: ManagedFields = []) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'x', finalizers, managedFields },
})

describe('what holds up a deletion', () => {
  it('is named with the controller that must let go', () => {
    const fieldsV1 = { 'f:metadata': { 'f:finalizers': { '.': {}, 'v:"example.test/hold"': {} } } }
    const owner = { manager: 'shop-controller', operation: 'Update', fieldsType: 'FieldsV1', fieldsV1 } as const
    expect(describeFinalizers(held(['example.test/hold'], [owner]))).toEqual([
      'example.test/hold (set by "shop-controller", which must take it off)',
    ])
  })

  it('is explained where Kubernetes itself holds it', () => {
    expect(describeFinalizers(held(['kubernetes.io/pvc-protection']))).toEqual([
      'kubernetes.io/pvc-protection (taken off by Kubernetes, when no pod uses the claim)',
    ])
  })

  it('is named by its group where nothing else is known', () => {
    expect(describeFinalizers(held(['databases.example.test/backup', 'bare']))).toEqual([
      'databases.example.test/backup (the controller of databases.example.test must take it off)',
      'bare (the controller of bare must take it off)',
    ])
  })
})
