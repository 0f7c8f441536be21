import type { Release } from '@muster/api'
import type { Health } from '@muster/reconcile'
import type { ChannelRelease } from '@muster/trust'
import { describe, expect, it } from 'vitest'
import type { Observed } from '../watches.ts'
import { assessRelease } from './assess.ts'
import { statusOf } from './release-object.ts'
import { Releases } from './releases.ts'
import { Interrupted, ReleaseRuntime, saidOf } from './runtime.ts'

const healthy: Health = { state: 'Healthy', reason: 'Healthy', message: 'It is there.' }
const digest = `sha256:${'a'.repeat(64)}`
const entry = (version: string): ChannelRelease => ({ name: 'shop', bundle: { repository: 'bundles/shop', version, digest, size: 1 } })
const now = new Date('2026-01-01T00:00:00Z')

function tracking(): ReleaseRuntime {
  const runtime = new ReleaseRuntime('shop')
  const object = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'shop' } }
  const key = 'Deployment.apps/shop/web'
  runtime.tracked.set(key, { planned: { key, phase: 'workloads', wave: 0, object, ours: true }, ownership: 'x', uid: 'u1', generation: 2 })
  return runtime
}

const seen = (more: Partial<Observed> = {}): Observed => ({
  key: 'k',
  uid: 'u1',
  generation: 2,
  ownership: 'x',
  values: 'v',
  holder: 'shop',
  added: '',
  health: healthy,
  ...more,
})
const watching = (observed: Observed | undefined | 'unknown') => ({ get: () => observed })

describe('a release', () => {
  it('is ready when what was applied is seen and healthy', () => {
    expect(assessRelease(tracking(), watching(seen()))).toMatchObject({ ready: true, reason: 'Healthy' })
  })

  it.each([
    ['is not watched yet', 'unknown' as const],
    ['is not there', undefined],
    ['is seen as it was before the apply', seen({ generation: 1 })],
    ['is another one of the same name', seen({ uid: 'u2' })],
  ])('is progressing while an object %s', (_title, observed) => {
    expect(assessRelease(tracking(), watching(observed))).toMatchObject({ ready: false, reason: 'Progressing' })
  })

  it('is degraded when an object is, and says which and why', () => {
    const outcome = assessRelease(tracking(), watching(seen({ health: { state: 'Degraded', reason: 'X', message: 'no room' } })))
    expect(outcome).toMatchObject({ ready: false, reason: 'Degraded', message: 'Deployment shop/web: no room' })
  })

  it('keeps the time of its last change while only the message differs', () => {
    const live = { generation: 3, conditions: [] }
    const first = statusOf(live, tracking(), { ready: true, reason: 'Healthy', message: 'a' }, now)
    const later = new Date(now.getTime() + 60_000)
    const second = statusOf(
      { ...live, conditions: first.conditions ?? [] },
      tracking(),
      { ready: true, reason: 'Healthy', message: 'b' },
      later,
    )
    expect(second.conditions?.[0]).toMatchObject({
      message: 'b',
      status: 'True',
      lastTransitionTime: first.conditions?.[0]?.lastTransitionTime,
      observedGeneration: 3,
    })
  })

  it('is reported by what runs, not by what is wanted and refused', () => {
    const runtime = tracking()
    expect(runtime.report(undefined)).toBeUndefined()
    expect(runtime.report(entry('2.0.0'))).toMatchObject({ version: '2.0.0', ready: false, signedBy: [] })
    runtime.remembered = { digest, version: '1.0.0', content: undefined, signedBy: ['publisher'] }
    runtime.outcome = { ready: false, reason: 'SignatureMissing', message: 'no' }
    runtime.outcomeOf = saidOf(entry('2.0.0'))
    expect(runtime.report(entry('2.0.0'))).toMatchObject({
      version: '1.0.0',
      ready: false,
      reason: 'SignatureMissing',
      signedBy: ['publisher'],
    })
  })

  it('is not reported as ready by how it stood before the channel asked for other settings', () => {
    const runtime = tracking()
    runtime.remembered = { digest, version: '1.0.0', content: undefined, signedBy: ['publisher'] }
    runtime.outcome = { ready: true, reason: 'Healthy', message: 'All is well.' }
    runtime.outcomeOf = saidOf(entry('1.0.0'))
    expect(runtime.report(entry('1.0.0'))).toMatchObject({ ready: true, reason: 'Healthy' })
    expect(runtime.report({ ...entry('1.0.0'), settings: { drift: { mode: 'detect' } } })).toMatchObject({
      ready: false,
      reason: 'Progressing',
      version: '1.0.0',
    })
  })

  it('has its work ended at once when something newer is wanted, and not that of another', () => {
    const [one, other] = [new ReleaseRuntime('one'), new ReleaseRuntime('other')]
    const stop = new AbortController().signal
    const [work, unrelated] = [one.work(stop, 'a'), other.work(stop, 'a')]
    one.interrupt('a')
    expect(work.aborted).toBe(false)
    one.interrupt('b')
    expect(work.reason).toBeInstanceOf(Interrupted)
    expect(unrelated.aborted).toBe(false)
  })

  it('is not corrected while it is applied, and is applied only after corrections have ended', async () => {
    const runtime = tracking()
    const order: string[] = []
    const gate = Promise.withResolvers<void>()
    const correction = runtime.correct(async () => {
      await gate.promise
      order.push('corrected')
    })
    const apply = runtime.whileApplying(async () => {
      order.push('applied')
      expect(await runtime.correct(async () => {})).toBe('applying')
    })
    gate.resolve()
    await Promise.all([correction, apply])
    expect(order).toEqual(['corrected', 'applied'])
    expect(runtime.applying).toBe(false)
  })

  it('is known after a restart by its Release object: inventory, what runs, corrections so far', () => {
    const releases = new Releases()
    const inventory = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: 'shop', uid: 'u' }]
    const status: Release['status'] = {
      appliedDigest: digest,
      appliedVersion: '1.0.0',
      signedBy: ['publisher'],
      inventory,
      drift: { corrected: 4 },
    }
    const runtime = releases.remember({ metadata: { name: 'shop' }, spec: {}, status } as unknown as Release)
    expect(runtime.inventory).toEqual(inventory)
    expect(runtime.report(undefined)).toMatchObject({ digest, version: '1.0.0', driftCorrected: 4 })
  })

  it('owns its objects until it is dropped', () => {
    const releases = new Releases()
    const runtime = releases.of('shop')
    for (const [key, tracked] of tracking().tracked) runtime.tracked.set(key, tracked)
    releases.index(runtime)
    expect(releases.ownerOf('Deployment.apps/shop/web')).toBe(runtime)
    releases.drop('shop')
    expect(releases.ownerOf('Deployment.apps/shop/web')).toBeUndefined()
  })

  it('owns an object that moved to it from the moment on that the other lets it go, whichever of the two is looked at later', () => {
    const releases = new Releases()
    const [from, to] = [releases.of('from'), releases.of('to')]
    const key = 'Deployment.apps/shop/web'
    for (const runtime of [from, to]) for (const [each, tracked] of tracking().tracked) runtime.tracked.set(each, tracked)
    releases.index(from)
    releases.index(to, () => false)
    expect(releases.ownerOf(key)).toBe(from)
    releases.index(to, (holder) => holder === 'from')
    // Of the other it is known still, as long as its next version is not applied whole.
    releases.index(from, () => false)
    expect(releases.ownerOf(key)).toBe(to)
    from.tracked.clear()
    releases.index(from)
    expect(releases.ownerOf(key)).toBe(to)
  })

  it('owns an object that another had, as soon as that does not keep it any more', () => {
    const releases = new Releases()
    const [from, to] = [releases.of('from'), releases.of('to')]
    for (const runtime of [from, to]) for (const [each, tracked] of tracking().tracked) runtime.tracked.set(each, tracked)
    releases.index(from)
    releases.index(to)
    from.tracked.clear()
    releases.index(from)
    expect(releases.ownerOf('Deployment.apps/shop/web')).toBe(to)
    releases.drop('from')
    expect(releases.ownerOf('Deployment.apps/shop/web')).toBe(to)
  })
})
