import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { refOf } from './identity.ts'
import { compareForApply, phaseOf } from './order.ts'
import { type Staged, stagesOf, waveOf } from './waves.ts'

const kinds = [
  ['v1', 'Namespace'],
  ['v1', 'ConfigMap'],
  ['apps/v1', 'Deployment'],
  ['example.test/v1', 'Widget'],
  ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'],
] as const

const staged = (name: string, wave: number, [apiVersion, kind]: readonly [string, string] = kinds[2]): Staged & { name: string } => {
  const object = { apiVersion, kind, metadata: { name } }
  return { name, object, wave, phase: phaseOf(object) }
}

const annotated = (annotations: Record<string, string>) => waveOf({ metadata: { name: 'x', annotations } })

describe('a wave', () => {
  it('is a whole number, 0 where none is given', () => {
    expect(waveOf({ metadata: { name: 'x' } })).toBe(0)
    expect(annotated({ 'muster.dev/wave': '-3' })).toBe(-3)
    expect(annotated({ 'argocd.argoproj.io/sync-wave': '+7' })).toBe(7)
    expect(annotated({ 'argocd.argoproj.io/sync-wave': '7', 'muster.dev/wave': '1' })).toBe(1)
    for (const wrong of ['', 'first', '1.5', ' 1', '1e3', '1000001', '99999999999'])
      expect(annotated({ 'muster.dev/wave': wrong })).toBeUndefined()
  })

  it('waits for all that come before it and are of lower waves, and for nothing else', () => {
    const item = fc.tuple(fc.integer({ min: -3, max: 3 }), fc.constantFrom(...kinds))
    fc.assert(
      fc.property(fc.array(item, { maxLength: 30 }), (items) => {
        const planned = items.map(([wave, kind], at) => staged(`o${at}`, wave, kind))
        const stages = stagesOf(planned)
        const order = stages.flatMap((stage) => stage.objects)
        expect(order.map(({ name }) => name).sort()).toEqual(planned.map(({ name }) => name).sort())
        const at = (one: Staged) => ({ ...refOf(one.object), wave: one.wave })
        expect(order).toEqual([...order].sort((a, b) => compareForApply(at(a), at(b))))
        const healthy = new Set<Staged>()
        let seen: Staged[] = []
        for (const stage of stages) {
          for (const one of stage.after) {
            // What is waited for was applied in an earlier stage.
            expect(seen).toContain(one)
            healthy.add(one)
          }
          for (const one of stage.objects)
            expect(order.slice(0, order.indexOf(one)).filter((earlier) => earlier.wave < one.wave && !healthy.has(earlier))).toEqual([])
          seen = [...seen, ...stage.objects]
        }
      }),
    )
  })

  it('costs nothing where there is none: all is one stage', () => {
    expect(stagesOf(kinds.map((kind, at) => staged(`o${at}`, 0, kind)))).toHaveLength(1)
    expect(stagesOf([])).toEqual([])
  })

  it('has webhooks of no wave with what comes last, and one with a wave of its own behind that', () => {
    const stages = (webhook: number) =>
      stagesOf([staged('hook', webhook, kinds[4]), staged('db', 0), staged('web', 1), staged('ns', 0, kinds[0])]).map((stage) =>
        stage.objects.map(({ name }) => name),
      )
    expect(stages(0)).toEqual([
      ['ns', 'db'],
      ['web', 'hook'],
    ])
    expect(stages(2)).toEqual([['ns', 'db'], ['web'], ['hook']])
  })

  const define = (kind: string) => {
    const object = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: kind },
      spec: { group: 'example.test', names: { kind } },
    }
    return { name: kind, object, wave: 0, phase: phaseOf(object) }
  }

  it('has objects of a kind that is defined beside them come once that is served, and waits for no other definition', () => {
    const [widgets, others] = [define('Widget'), define('Other')]
    const [config, widget] = [staged('config', 0, kinds[1]), staged('widget', 0, kinds[3])]
    expect(stagesOf([widget, config, others, widgets])).toEqual([
      { wave: 0, objects: [others, widgets], after: [] },
      { wave: 0, objects: [config, widget], after: [widgets], defined: true },
    ])
    expect(stagesOf([config, others])).toHaveLength(1)
  })

  it('starts no program before all that is defined beside it is served, as an operator may look only once', () => {
    const [widgets, others] = [define('Widget'), define('Other')]
    const [config, operator] = [staged('config', 0, kinds[1]), staged('operator', 0)]
    expect(stagesOf([operator, config, others, widgets])).toEqual([
      { wave: 0, objects: [others, widgets], after: [] },
      { wave: 0, objects: [config, operator], after: [others, widgets], defined: true },
    ])
  })
})
