import type { Grant } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { definedTypes, nextEnd, notGranted, type ResourceType, readResourceTypes, tenantNamespace, tenantRights } from './index.ts'

const now = new Date('2030-01-01T00:00:00Z')
const past = '2029-12-31T23:59:59Z'
const later = '2030-02-01T00:00:00Z'
const rbac = 'rbac.authorization.k8s.io'
const object = (kind: string, namespace?: string, apiVersion = 'v1') => ({
  apiVersion,
  kind,
  name: 'a',
  ...(namespace === undefined ? {} : { namespace }),
})
const tenant = (...grants: Grant[]) => ({ name: 'payments', grants })
const apps: Grant = { name: 'apps', kinds: ['*'], namespaces: ['shop'] }
const why = (grants: Grant[], ...objects: ReturnType<typeof object>[]) => notGranted(tenant(...grants), objects, now)

describe('a tenant', () => {
  it('may have what a grant names, in the namespaces that it names', () => {
    expect(why([apps], object('ConfigMap', 'shop'), object('Deployment', 'shop', 'apps/v1'))).toBeUndefined()
    expect(
      why([{ name: 'some', kinds: ['Deployment.apps'], namespaces: ['shop'] }], object('Deployment', 'shop', 'apps/v1')),
    ).toBeUndefined()
    expect(why([{ name: 'roles', kinds: [`ClusterRole.${rbac}`] }], object('ClusterRole', undefined, `${rbac}/v1`))).toBeUndefined()
  })

  it('may not have what lives in no namespace by a grant of all kinds: a bundle with such objects is refused by their names', () => {
    expect(
      why(
        [apps],
        object('ConfigMap', 'shop'),
        object('ClusterRoleBinding', undefined, `${rbac}/v1`),
        object('CustomResourceDefinition', undefined, 'apiextensions.k8s.io/v1'),
      ),
    ).toBe(
      `Tenant payments may not have: ClusterRoleBinding a (no grant has ClusterRoleBinding.${rbac}, which lives in no namespace), CustomResourceDefinition a (no grant has CustomResourceDefinition.apiextensions.k8s.io, which lives in no namespace).`,
    )
  })

  it('may not have an object in kube-system, nor a namespace, nor what bounds its namespace', () => {
    expect(why([apps], object('ConfigMap', 'kube-system'))).toContain('no grant has namespace kube-system')
    expect(why([apps], object('Namespace'))).toContain('namespaces come from the grant')
    expect(why([apps], object('ResourceQuota', 'shop'))).toContain('no grant has ResourceQuota in namespace shop')
    expect(why([apps], object('AdmittedImages', 'shop', 'muster.dev/v1alpha1'))).toContain('no grant has AdmittedImages')
    expect(why([{ ...apps, kinds: ['*', 'ResourceQuota'] }], object('ResourceQuota', 'shop'))).toBeUndefined()
  })

  it('may not use a grant after its end, to the second, and is told when that was', () => {
    expect(why([{ ...apps, until: past }], object('ConfigMap', 'shop'))).toContain(`grant apps ended at ${past}`)
    expect(why([{ ...apps, until: now.toISOString() }], object('ConfigMap', 'shop'))).toContain('ended at')
    expect(why([{ ...apps, until: later }], object('ConfigMap', 'shop'))).toBeUndefined()
    expect(
      why(
        [
          { ...apps, until: past },
          { ...apps, name: 'more' },
        ],
        object('ConfigMap', 'shop'),
      ),
    ).toBeUndefined()
    expect(nextEnd([apps, { ...apps, until: later }, { ...apps, until: past }], now)).toEqual(new Date(later))
    expect(nextEnd([apps], now)).toBeUndefined()
  })

  it('without grants may have nothing, and a long list of objects is cut', () => {
    const many = Array.from({ length: 7 }, (_, at) => ({ ...object('ConfigMap', 'shop'), name: `c${at}` }))
    expect(notGranted(tenant(), many, now)).toMatch(/c4 \(no grant has namespace shop\) and 2 more\.$/)
  })

  it('may not use a namespace that is somebody else’s here, whatever was granted', () => {
    expect(notGranted(tenant(apps), [object('ConfigMap', 'shop')], now, new Set(['shop']))).toContain(
      "namespace shop was there and is not the tenant's; where it shall be: kubectl label namespace shop muster.dev/tenant=payments",
    )
  })
})

const types: ResourceType[] = [
  { kind: 'ConfigMap', group: '', resource: 'configmaps', namespaced: true },
  { kind: 'ResourceQuota', group: '', resource: 'resourcequotas', namespaced: true },
  { kind: 'Namespace', group: '', resource: 'namespaces', namespaced: false },
  { kind: 'Deployment.apps', group: 'apps', resource: 'deployments', namespaced: true },
  { kind: `ClusterRole.${rbac}`, group: rbac, resource: 'clusterroles', namespaced: false },
]
const rights = (grants: Grant[]) => tenantRights({ tenant: 'payments', grants, types, systemNamespace: 'system', labels: { by: 'us' } })
const roles = (grants: Grant[]) =>
  rights(grants)
    .filter(({ kind }) => kind.endsWith('Role'))
    .map(({ kind, metadata, rules }) => [kind, metadata.namespace, rules as { apiGroups: string[]; resources: string[] }[]] as const)

describe('the rights of a tenant', () => {
  it('are exactly those of its grants: kinds that are named, in the namespaces that are named', () => {
    const grants = [
      { name: 'a', kinds: ['ConfigMap', 'ConfigMap/status', 'Gone.example.org'], namespaces: ['shop', 'bank'] },
      { name: 'b', kinds: [`ClusterRole.${rbac}`] },
    ]
    expect(
      roles(grants).map(([kind, namespace, rules]) => [kind, namespace, rules.map(({ apiGroups, resources }) => [apiGroups, resources])]),
    ).toEqual([
      ['ClusterRole', undefined, [[[rbac], ['clusterroles']]]],
      ['Role', 'bank', [[[''], ['configmaps', 'configmaps/status']]]],
      ['Role', 'shop', [[[''], ['configmaps', 'configmaps/status']]]],
    ])
  })

  it('of all kinds name each of them: neither a star, which would take in what is not meant, nor what lives in no namespace', () => {
    const [[, , rules] = []] = roles([apps])
    expect(rules?.map(({ apiGroups, resources }) => [apiGroups, resources])).toEqual([
      [[''], ['configmaps']],
      [['apps'], ['deployments']],
    ])
  })

  it('never hold what gives rights to others, and are nothing without a grant', () => {
    expect(JSON.stringify(rights([apps]))).not.toMatch(/escalate|"bind"|impersonate|"\*"/)
    expect(rights([])).toEqual([])
    for (const made of rights([apps])) expect(made.metadata.labels).toEqual({ by: 'us', 'muster.dev/tenant': 'payments' })
  })

  it('and the refusal say the same of every object: what is refused could not be written, what is not refused can', () => {
    const kind = fc.constantFrom('*', ...types.map((type) => type.kind))
    const names = fc.uniqueArray(fc.constantFrom('shop', 'bank'), { maxLength: 2 })
    const grant = fc.record({ name: fc.constant('g'), kinds: fc.uniqueArray(kind, { minLength: 1, maxLength: 3 }), namespaces: names })
    fc.assert(
      fc.property(
        fc.array(grant, { maxLength: 3 }),
        fc.constantFrom(...types),
        fc.constantFrom('shop', 'bank', 'kube-system'),
        (grants, type, place) => {
          const [name = '', ...group] = type.kind.split('.')
          const namespace = type.namespaced ? place : undefined
          const ref = object(name, namespace, group.length === 0 ? 'v1' : `${group.join('.')}/v1`)
          const role = roles(grants).find(([, where]) => where === namespace)
          const held =
            role?.[2].some(({ apiGroups, resources }) => apiGroups.includes(type.group) && resources.includes(type.resource)) ?? false
          expect(why(grants, ref) === undefined).toBe(held)
        },
      ),
    )
  })
})

describe('a tenant’s namespace', () => {
  it('keeps pods off the node unless a grant says otherwise; of several the strictest holds', () => {
    const level = (...said: (Grant['podSecurity'] | undefined)[]) =>
      tenantNamespace('shop', {
        tenant: 'payments',
        labels: {},
        grants: said.map((podSecurity) => ({ ...apps, ...(podSecurity === undefined ? {} : { podSecurity }) })),
      }).metadata.labels?.['pod-security.kubernetes.io/enforce']
    expect(level(undefined)).toBe('baseline')
    expect(level('privileged')).toBe('privileged')
    expect(level('privileged', 'restricted')).toBe('restricted')
  })
})

describe('kinds', () => {
  it('are read from the API server’s answers; an answer that is none is an error, not "no kinds"', () => {
    const resource = (kind: string, plural: string, scope = 'Namespaced') => ({
      resource: plural,
      responseKind: { group: '', kind },
      scope,
      verbs: ['get', 'patch'],
    })
    const answer = (group: string, ...resources: object[]) => ({
      kind: 'APIGroupDiscoveryList',
      items: [{ metadata: group === '' ? {} : { name: group }, versions: [{ resources }, { resources }] }],
    })
    expect(
      readResourceTypes(
        answer('', resource('ConfigMap', 'configmaps'), { resource: 'bindings', verbs: ['create'] }),
        answer('apps', resource('Deployment', 'deployments')),
      ),
    ).toEqual([
      { kind: 'ConfigMap', group: '', resource: 'configmaps', namespaced: true },
      { kind: 'Deployment.apps', group: 'apps', resource: 'deployments', namespaced: true },
    ])
    expect(() => readResourceTypes({ kind: 'APIGroupList' })).toThrow(expect.objectContaining({ code: 'BadResponse' }))
    expect(() => readResourceTypes(undefined)).toThrow(expect.objectContaining({ code: 'BadResponse' }))
  })

  const definition = (names = { kind: 'Cup', plural: 'cups' }, group = 'e.org'): KubeObject => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'x' },
    spec: { group, scope: 'Namespaced', names },
  })
  const definitions: Grant = { name: 'kinds', kinds: ['CustomResourceDefinition.apiextensions.k8s.io'] }

  it('that a bundle defines itself are known before they are served', () => {
    expect(definedTypes([definition()], [apps, definitions])).toEqual([
      { kind: 'Cup.e.org', group: 'e.org', resource: 'cups', namespaced: true },
    ])
  })

  it('that a bundle says to define widen no right: neither where its tenant may define none, nor by names that are none', () => {
    expect(definedTypes([definition()], [apps])).toEqual([])
    const odd = [
      definition({ kind: 'Shell', plural: 'pods/exec' }, ''),
      definition({ kind: 'All', plural: '*' }, '*'),
      definition({ kind: 'Quota', plural: 'resourcequotas' }, ''),
      definition({ kind: 'Cup', plural: '*' }),
      definition({ kind: 'Cup.e', plural: 'cups' }, 'org'),
    ]
    expect(definedTypes(odd, [apps, definitions])).toEqual([])
  })
})
