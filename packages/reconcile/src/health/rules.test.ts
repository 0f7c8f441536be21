import type { KubeObject } from '@muster/kube'
import { describe, expect, it } from 'vitest'
import { health } from './health.ts'
import { type HealthRule, HealthRules } from './rules.ts'

const rule: HealthRule = {
  apiGroup: 'example.test',
  kind: 'Cache',
  healthy: 'object.status.phase == "Running" && object.status.ready >= object.spec.size',
  degraded: 'object.status.phase == "Broken"',
  message: 'object.status.phase + ": " + string(object.status.ready) + " are ready"',
}
const cache = (status: object | undefined, metadata: object = {}): KubeObject => ({
  apiVersion: 'example.test/v2',
  kind: 'Cache',
  metadata: { name: 'x', generation: 2, ...metadata },
  spec: { size: 2 },
  ...(status === undefined ? {} : { status }),
})
const judged = async (object: KubeObject, change: Partial<HealthRule> = {}) =>
  health(object, await HealthRules.compile([{ ...rule, ...change }]))

describe('a health rule of a bundle', { timeout: 60_000 }, () => {
  it('says when an object is healthy or degraded, and why; what is neither is progressing', async () => {
    expect(await judged(cache({ phase: 'Running', ready: 2 }))).toEqual({
      state: 'Healthy',
      reason: 'Healthy',
      message: 'Running: 2 are ready',
    })
    expect(await judged(cache({ phase: 'Running', ready: 1 }))).toMatchObject({ state: 'Progressing', message: 'Running: 1 are ready' })
    expect(await judged(cache({ phase: 'Broken', ready: 0 }))).toMatchObject({ state: 'Degraded', message: 'Broken: 0 are ready' })
  })

  it('is not met yet where a field is not there: the controller has not looked', async () => {
    expect(await judged(cache(undefined))).toMatchObject({ state: 'Progressing' })
    expect(await judged(cache({ phase: 'Running' }))).toMatchObject({
      state: 'Progressing',
      message: expect.stringContaining('It is not yet that'),
    })
  })

  it('is unknown, with the reason, where it cannot be answered', async () => {
    expect(await judged(cache({ phase: 'Running', ready: 'many' }))).toMatchObject({ state: 'Unknown', reason: 'RuleFailed' })
    expect(await judged(cache({ phase: 7 }), { healthy: 'object.status.phase' })).toMatchObject({ state: 'Unknown', reason: 'RuleFailed' })
  })

  it('comes after what holds for every kind: an object that is behind or being deleted is progressing', async () => {
    expect(await judged(cache({ phase: 'Running', ready: 2, observedGeneration: 1 }))).toMatchObject({
      reason: 'LatestGenerationNotObserved',
    })
    expect(await judged(cache({ phase: 'Running', ready: 2 }, { deletionTimestamp: 'now' }))).toMatchObject({ reason: 'Terminating' })
  })

  it('is for its kind and group only, whatever the version', async () => {
    const other = { ...cache({ conditions: [{ type: 'Ready', status: 'True' }] }), apiVersion: 'other.test/v2' }
    expect(await judged(other)).toMatchObject({ state: 'Healthy', message: 'It says that it is ready.' })
    const rules = await HealthRules.compile([rule])
    expect(rules.textOf('Cache.example.test')).not.toBe('')
    expect(rules.textOf('Cache.other.test')).toBe('')
  })

  it('that takes too long is ended', async () => {
    const many = Array.from({ length: 5000 }, (_, at) => at)
    const started = performance.now()
    const slow = 'object.status.many.all(a, object.status.many.all(b, object.status.many.all(c, a + b + c >= 0)))'
    expect(await judged(cache({ many }), { healthy: slow, degraded: 'false' })).toMatchObject({ state: 'Unknown' })
    expect(performance.now() - started).toBeLessThan(20_000)
  })
})
