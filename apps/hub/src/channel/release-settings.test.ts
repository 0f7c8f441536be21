import { type Cluster, customResourceDefinition, environmentLabel, groupLabel, type Placement, placementKind } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { settingsOf } from './release-settings.ts'

const cluster = { metadata: { name: 'alpha', labels: { [environmentLabel]: 'test', [groupLabel]: 'edge' } } } as unknown as Cluster

const placement = (spec: Partial<Placement['spec']>): Placement => ({ metadata: { name: 'shop' }, spec }) as Placement

describe('settings of a release', () => {
  it('are absent where a placement says nothing', () => {
    expect(settingsOf(placement({}), cluster, [])).toBeUndefined()
    expect(
      settingsOf(placement({ customize: [{ name: 'other', for: { cluster: 'bravo' }, values: { a: 1 } }] }), cluster, []),
    ).toBeUndefined()
  })

  it('hold the customizations for this cluster, all before environment before group before cluster', () => {
    const customize = [
      { name: 'own', for: { cluster: 'alpha' }, values: { size: 4 } },
      { name: 'edge', for: { group: 'edge' }, values: { size: 3 } },
      { name: 'prod', for: { environment: 'prod' }, values: { size: 9 } },
      { name: 'test', for: { environment: 'test' }, values: { size: 2 } },
      { name: 'every', for: { all: true as const }, values: { size: 1 } },
      { name: 'last', for: { all: true as const }, overlay: { replicas: [{ name: 'web', count: 2 }] } },
    ]
    expect(settingsOf(placement({ customize }), cluster, [])?.customize?.map(({ name, level }) => `${level} ${name}`)).toEqual([
      'all every',
      'all last',
      'environment test',
      'group edge',
      'cluster own',
    ])
  })

  it('hold what was sealed to this cluster, and nothing of others', () => {
    const sealed = { alpha: { password: 'one' }, bravo: { password: 'two' } }
    expect(settingsOf(placement({ sealed }), cluster, [])).toEqual({ sealed: { password: 'one' } })
  })

  it('have a schema that an API server takes: what may be anything says so', () => {
    const text = JSON.stringify(customResourceDefinition(placementKind))
    expect(text).toContain('"x-kubernetes-preserve-unknown-fields":true')
  })
})
