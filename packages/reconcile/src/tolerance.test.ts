import type { KubeObject } from '@muster/kube'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { additionsByOthers } from './additions.ts'
import { type Fields, formatPath } from './fields.ts'
import { isTolerated, parsePath, type Tolerance, tolerancesFor, yieldTolerated } from './tolerance.ts'

const tolerate = (path: string, more: Partial<Tolerance> = {}): Tolerance => ({ path: parsePath(path), owner: 'team', ...more })
const entry = (manager: string, fields: object, more: object = {}): object => ({
  manager,
  operation: manager === 'muster-agent' ? 'Apply' : 'Update',
  fieldsType: 'FieldsV1',
  fieldsV1: fields,
  ...more,
})
const object = (spec: object, managedFields: object[] = []): KubeObject =>
  ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop', managedFields }, spec }) as KubeObject

describe('a path of a field', () => {
  it('is read as people write it, and as it is printed', () => {
    expect(parsePath('spec.template.spec.containers[name=app].image')).toEqual([
      { field: 'spec' },
      { field: 'template' },
      { field: 'spec' },
      { field: 'containers' },
      { keys: { name: 'app' } },
      { field: 'image' },
    ])
    expect(parsePath('.metadata.annotations["example.test/a b"]')).toEqual([
      { field: 'metadata' },
      { field: 'annotations' },
      { field: 'example.test/a b' },
    ])
    expect(parsePath('a[*][0][=x][port=80,protocol=TCP]')).toEqual([
      { field: 'a' },
      { any: true },
      { index: 0 },
      { value: 'x' },
      { keys: { port: '80', protocol: 'TCP' } },
    ])
  })

  it.each(['', '[', 'a..b', 'a[', 'a[]', 'a[x]', 'a[=', 'a b', 'a["x]'])('is refused when it is none: %j', (text) => {
    expect(() => parsePath(text)).toThrow(TypeError)
  })

  it('tolerates exactly what it names and what lies below, however it was printed', () => {
    const name = fc.stringMatching(/^[a-z][a-zA-Z]{0,8}$/)
    const element = fc.oneof(
      name.map((field) => `f:${field}`),
      fc.record({ name }).map((keys) => `k:${JSON.stringify(keys)}`),
    )
    const paths = fc.array(element, { minLength: 1, maxLength: 6 }).map((rest) => ['f:spec', ...rest])
    fc.assert(
      fc.property(paths, fc.array(element, { maxLength: 3 }), (path, more) => {
        const tolerances = [tolerate(formatPath(path))]
        expect(isTolerated(tolerances, [...path, ...more])).toBe(true)
        expect(isTolerated(tolerances, path.slice(0, -1))).toBe(false)
        expect(isTolerated(tolerances, ['f:status', ...path.slice(1)])).toBe(false)
      }),
    )
  })
})

describe('what is tolerated', () => {
  it('holds for the objects that it names, until it ends', () => {
    const ref = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web' }
    const all = [
      tolerate('a', { kind: 'Deployment' }),
      tolerate('b', { kind: 'Deployment.apps', namespace: 'shop', name: 'web', untilMs: 1000 }),
      tolerate('c', { kind: 'Service' }),
      tolerate('d', { namespace: 'other' }),
    ]
    expect(tolerancesFor(all, ref, 999).map(({ path }) => path)).toEqual([[{ field: 'a' }], [{ field: 'b' }]])
    expect(tolerancesFor(all, ref, 1000).map(({ path }) => path)).toEqual([[{ field: 'a' }]])
  })

  const desired = object({
    replicas: 2,
    template: { spec: { containers: [{ name: 'app', image: 'a:1', args: ['x'], resources: { limits: { cpu: '1', memory: '1G' } } }] } },
  })
  const ownAll: Fields = {
    'f:spec': {
      'f:replicas': {},
      'f:template': {
        'f:spec': {
          'f:containers': {
            'k:{"name":"app"}': {
              '.': {},
              'f:name': {},
              'f:image': {},
              'f:args': {},
              'f:resources': { 'f:limits': { 'f:cpu': {}, 'f:memory': {} } },
            },
          },
        },
      },
    },
  }
  const without = (fields: Fields, path: readonly string[]): Fields => {
    const [head = '', ...tail] = path
    const { [head]: child = {}, ...rest } = fields
    return tail.length === 0 ? rest : { ...rest, [head]: without(child, tail) }
  }
  const container = ['f:spec', 'f:template', 'f:spec', 'f:containers', 'k:{"name":"app"}']

  it('stays applied while it is still ours', () => {
    const live = object({}, [entry('muster-agent', ownAll)])
    const tolerances = [tolerate('spec.replicas'), tolerate('spec.template.spec.containers[name=app].resources')]
    expect(yieldTolerated(desired, live, tolerances, 'muster-agent')).toEqual({ object: desired, yielded: [] })
  })

  it('is left out of what is applied once another has it, or took it away, and nothing else is', () => {
    const own = without(without(ownAll, ['f:spec', 'f:replicas']), [...container, 'f:resources', 'f:limits', 'f:cpu'])
    const live = object({}, [entry('muster-agent', own), entry('other', { 'f:spec': { 'f:replicas': {} } })])
    const { object: applied, yielded } = yieldTolerated(
      desired,
      live,
      [tolerate('spec.template.spec.containers[*].resources'), tolerate('spec.replicas')],
      'muster-agent',
    )
    expect(yielded).toEqual(['/spec/replicas', '/spec/template/spec/containers/0/resources/limits/cpu'])
    expect(applied['spec']).toEqual({
      template: { spec: { containers: [{ name: 'app', image: 'a:1', args: ['x'], resources: { limits: { memory: '1G' } } }] } },
    })
    const lost = without(ownAll, [...container, 'f:image'])
    expect(yieldTolerated(desired, object({}, [entry('muster-agent', lost)]), [tolerate('spec.replicas')], 'muster-agent').yielded).toEqual(
      [],
    )
  })

  it('is what an autoscaler scaled, without a word of anybody, and not what a person scaled', () => {
    const own = without(ownAll, ['f:spec', 'f:replicas'])
    const scaled = (manager: string): KubeObject =>
      object({}, [entry('muster-agent', own), entry(manager, { 'f:spec': { 'f:replicas': {} } }, { subresource: 'scale' })])
    expect(yieldTolerated(desired, scaled('kube-controller-manager'), [], 'muster-agent').yielded).toEqual(['/spec/replicas'])
    expect(yieldTolerated(desired, scaled('kubectl'), [], 'muster-agent').yielded).toEqual([])
  })

  it('is nothing of an object that was never ours', () => {
    expect(yieldTolerated(desired, object({}, []), [tolerate('spec')], 'muster-agent').yielded).toEqual([])
  })

  it('is no addition, and of an addition only the tolerated part is none', () => {
    const added = entry('injector', {
      'f:spec': { 'f:template': { 'f:spec': { 'f:hostNetwork': {}, 'f:securityContext': { 'f:runAsUser': {}, 'f:fsGroup': {} } } } },
    })
    const live = object({}, [entry('muster-agent', ownAll), added])
    const found = (...paths: string[]): string[] =>
      additionsByOthers(
        live,
        'muster-agent',
        paths.map((path) => tolerate(path)),
      ).map(({ path }) => formatPath(path))
    expect(found()).toEqual(['.spec.template.spec.hostNetwork', '.spec.template.spec.securityContext'])
    expect(found('spec.template.spec.securityContext.fsGroup')).toEqual([
      '.spec.template.spec.hostNetwork',
      '.spec.template.spec.securityContext.runAsUser',
    ])
    expect(found('spec.template.spec')).toEqual([])
  })
})

describe('what others add', () => {
  it.each([
    ['networking.k8s.io/v1', 'NetworkPolicy', { 'f:spec': { 'f:egress': {} } }],
    ['admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicy', { 'f:spec': { 'f:matchConditions': { 'k:{"name":"x"}': {} } } }],
    ['admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicyBinding', { 'f:spec': { 'f:matchResources': {} } }],
    ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration', { 'f:webhooks': { 'k:{"name":"x"}': {} } }],
    ['rbac.authorization.k8s.io/v1', 'ClusterRole', { 'f:rules': {} }],
  ])('to %s %s is drift', (apiVersion, kind, fields) => {
    const live = {
      apiVersion,
      kind,
      metadata: { name: 'x', managedFields: [entry('muster-agent', { 'f:spec': { 'f:a': {} } }), entry('other', fields)] },
    }
    expect(additionsByOthers(live as unknown as KubeObject, 'muster-agent')).toHaveLength(1)
  })

  it('to a webhook is none when it is the authority that keeps its certificate', () => {
    const hook = 'k:{"name":"hook.example"}'
    const own = { 'f:webhooks': { [hook]: { '.': {}, 'f:name': {}, 'f:clientConfig': { 'f:service': {} } } } }
    const ca = { 'f:webhooks': { [hook]: { 'f:clientConfig': { 'f:caBundle': {} } } } }
    const live = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'MutatingWebhookConfiguration',
      metadata: { name: 'x', managedFields: [entry('muster-agent', own), entry('cainjector', ca)] },
    }
    expect(additionsByOthers(live as unknown as KubeObject, 'muster-agent')).toEqual([])
  })
})
