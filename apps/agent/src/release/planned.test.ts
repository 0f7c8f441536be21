import { describe, expect, it } from 'vitest'
import { expandPlanned, plannedOf } from './planned.ts'

describe('what is written down before it is made', () => {
  it('is read again as it was, with the waves by which prune goes after a crash', () => {
    const config = { apiVersion: 'v1', kind: 'ConfigMap', namespace: 'shop' }
    const inventory = [
      { ...config, name: 'first' },
      { ...config, name: 'second' },
      { ...config, name: 'later', wave: 2 },
      { apiVersion: 'v1', kind: 'Namespace', name: 'shop' },
    ]
    const made = inventory.map((entry) => ({ ...entry, uid: 'u', ownership: 'o' }))
    expect(expandPlanned(plannedOf(made))).toEqual(inventory)
    expect(plannedOf(made)).toHaveLength(3)
  })
})
