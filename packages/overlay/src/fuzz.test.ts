import type { OverlaySpec } from '@muster/api'
import type { BundleParameter, KubeObjectLike } from '@muster/bundle'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { customize } from './customize.ts'

vi.setConfig({ testTimeout: 60_000 })

const objects: KubeObjectLike[] = [
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', labels: { a: 'b' } },
    spec: { replicas: 1, template: { spec: { containers: [{ name: 'a', ports: [{ containerPort: 1 }] }] } } },
  },
  { apiVersion: 'example.test/v1', kind: 'Thing', metadata: { name: 'thing' }, spec: { list: [1, [2]], no: null } },
]

/** Either it is applied, or it is said what is wrong with it; nothing else ever comes out. */
function settles(overlay: OverlaySpec, parameters: readonly BundleParameter[] = [], values: Record<string, unknown> = {}): void {
  const { problems } = customize(objects, { layers: [{ name: 'x', level: 'all', overlay, values }], parameters, namespace: 'shop' })
  for (const { message } of problems) expect(message.length).toBeLessThan(5000)
}

const key = fc.oneof(
  fc.constantFrom('spec', 'metadata', 'containers', 'name', '$patch', '$setElementOrder/containers', '__proto__', 'list'),
  fc.string(),
)
const json = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, fc.string(), fc.integer(), fc.boolean(), fc.constant(null), tie('list'), tie('map')),
  list: fc.array(tie('value'), { maxLength: 4 }),
  map: fc.dictionary(key, tie('value'), { maxKeys: 4 }),
}))

describe('what strangers write', () => {
  it('as a patch is applied or refused', () => {
    const target = fc.constantFrom({ kind: 'Deployment' }, { kind: 'Thing' }, {})
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), target, (patch, to) => settles({ patches: [{ target: to, patch }] })),
      { numRuns: 200 },
    )
    fc.assert(
      fc.property(json.map, target, (patch, to) => settles({ patches: [{ target: to, patch: JSON.stringify(patch) }] })),
      { numRuns: 200 },
    )
  })

  it('as a JSON patch is applied or refused', () => {
    const pointer = fc.array(fc.constantFrom('spec', 'template', 'containers', '0', '-', '1', 'list', 'no', '~0', ''), { maxLength: 6 })
    const operation = fc.record({
      op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'put'),
      path: pointer.map((parts) => parts.map((part) => `/${part}`).join('')),
      from: pointer.map((parts) => parts.map((part) => `/${part}`).join('')),
      value: json.value,
    })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 5 }), (operations) =>
        settles({ patches: [{ target: { kind: '.*' }, patch: JSON.stringify(operations) }] }),
      ),
      { numRuns: 300 },
    )
  })

  it('as a target is taken or refused, in bounded time', () => {
    const text = fc.string({ minLength: 1, maxLength: 100 })
    fc.assert(
      fc.property(fc.record({ kind: text, name: text, labelSelector: text }, { requiredKeys: [] }), (target) =>
        settles({ patches: [{ target, patch: '{spec: {}}' }] }),
      ),
    )
    const started = performance.now()
    settles({ patches: [{ target: { name: '(a*)*(a*)*b' }, patch: '{spec: {}}' }] })
    expect(performance.now() - started).toBeLessThan(10_000)
  })

  it('as schema, path or value of a parameter is taken or refused', () => {
    fc.assert(
      fc.property(json.map, fc.string({ minLength: 1, maxLength: 60 }), json.value, (schema, path, value) => {
        const parameter = { name: 'p', schema: schema as Record<string, unknown>, set: [{ target: { kind: 'Deployment' }, path }] }
        settles({}, [parameter], { p: value })
      }),
      { numRuns: 150 },
    )
  })
})
