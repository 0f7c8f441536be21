import { type Cluster, customResourceDefinition, grantSchema, type Tenant, tenantKind } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { objectionTo, tenantIn } from './tenants.ts'

const cluster = (name: string, labels = {}) => ({ metadata: { name, labels } }) as unknown as Cluster
const tenant = (name: string, grants: Tenant['spec']['grants'], created = '2030-01-01T00:00:00Z'): Tenant =>
  ({ metadata: { name, creationTimestamp: created }, spec: { grants } }) as Tenant
const alpha = cluster('alpha', { site: 'north' })
const bravo = cluster('bravo')
const apps = { name: 'apps', kinds: ['*'], namespaces: ['shop'] }

describe('a tenant in a channel', () => {
  it('has the grants that are for the cluster, with their ends, and what people wrote beside them is left out', () => {
    const grants = [
      { ...apps, until: '2031-01-01T00:00:00Z', reason: 'the shop' },
      { name: 'north', kinds: ['ConfigMap'], namespaces: ['north'], clusters: { matchLabels: { site: 'north' } } },
      { name: 'bravo', kinds: ['ConfigMap'], namespaces: ['bravo'], clusters: { names: ['bravo'] } },
    ]
    expect(tenantIn(alpha, 'payments', [tenant('payments', grants)])).toEqual({
      name: 'payments',
      grants: [
        { ...apps, until: '2031-01-01T00:00:00Z' },
        { name: 'north', kinds: ['ConfigMap'], namespaces: ['north'] },
      ],
    })
  })

  it('that nobody knows, or that was deleted, has no grants: nothing, and not everything', () => {
    expect(tenantIn(alpha, 'payments', [])).toEqual({ name: 'payments', grants: [] })
  })

  it.each([
    ['kube-system', { ...apps, namespaces: ['shop', 'kube-system'] }, 'kube-system is of Kubernetes or Muster itself'],
    ['muster-system', { ...apps, namespaces: ['muster-system'] }, 'muster-system'],
    ['namespaces themselves', { name: 'all', kinds: ['Namespace'] }, 'no tenant gets Namespace'],
    ['everything without a namespace', { name: 'all', kinds: ['*'] }, 'it names none'],
  ])('is never given %s, and says so', (_, grant, why) => {
    const bad = tenant('payments', [grant])
    expect(tenantIn(alpha, 'payments', [bad]).grants).toEqual([])
    expect(objectionTo(bad, [bad], [alpha])).toMatchObject({ reason: 'Invalid', message: expect.stringContaining(why) as string })
  })
})

describe('two tenants that claim one namespace', () => {
  const first = tenant('payments', [{ ...apps, until: '2029-01-01T00:00:00Z' }], '2030-01-01T00:00:00Z')
  const second = tenant('bank', [{ ...apps, namespaces: ['shop', 'bank'] }], '2030-01-02T00:00:00Z')

  it('it belongs to the one that claimed it first, also after the end of its grant; the other gets the rest, and is told', () => {
    expect(tenantIn(alpha, 'payments', [second, first]).grants[0]?.namespaces).toEqual(['shop'])
    expect(tenantIn(alpha, 'bank', [first, second]).grants[0]?.namespaces).toEqual(['bank'])
    expect(objectionTo(first, [first, second], [alpha])).toBeUndefined()
    expect(objectionTo(second, [first, second], [alpha, bravo])).toMatchObject({
      reason: 'NamespaceTaken',
      message: 'Namespace shop in cluster alpha belongs to tenant payments, which claimed it first: grant apps is given without it.',
    })
  })

  it('in different clusters both have it', () => {
    const here = tenant('payments', [{ ...apps, clusters: { names: ['alpha'] } }])
    const there = tenant('bank', [{ ...apps, clusters: { names: ['bravo'] } }])
    expect(tenantIn(bravo, 'bank', [here, there]).grants[0]?.namespaces).toEqual(['shop'])
    expect(objectionTo(there, [here, there], [alpha, bravo])).toBeUndefined()
  })

  it('at the same moment it belongs to the first by name, so that all hubs and all restarts say the same', () => {
    const [b, a] = [tenant('b', [apps]), tenant('a', [apps])]
    expect(tenantIn(alpha, 'a', [b, a]).grants).toHaveLength(1)
    expect(tenantIn(alpha, 'b', [a, b]).grants).toEqual([])
  })
})

describe('the kinds of a grant', () => {
  it.each(['ConfigMap', 'Deployment.apps', 'Role.rbac.authorization.k8s.io', 'Pod/log', '*'])('may be %s', (kind) => {
    expect(grantSchema.safeParse({ name: 'a', kinds: [kind] }).success).toBe(true)
  })

  it.each(['configmaps', '*.apps', 'Deployment.', 'Pod/', '', 'Pod/log/x'])('may not be "%s"', (kind) => {
    expect(grantSchema.safeParse({ name: 'a', kinds: [kind] }).success).toBe(false)
  })

  it('are checked by the API server too', () => {
    expect(JSON.stringify(customResourceDefinition(tenantKind))).toContain('"pattern":"^(\\\\*|')
  })
})
