import type { Health, HookEvent, Plan, PlannedObject } from '@muster/reconcile'
import { describe, expect, it } from 'vitest'
import type { LoadedBundle } from '../bundle-loader.ts'
import type { Observed } from '../watches.ts'
import { beginRollout, waitsForWave } from './rollout.ts'
import { ReleaseRuntime, waitingSince } from './runtime.ts'

const planned = (kind: string, name: string, wave: number): PlannedObject => {
  const apiVersion = kind === 'Job' ? 'batch/v1' : kind === 'PersistentVolumeClaim' ? 'v1' : 'apps/v1'
  const object = { apiVersion, kind, metadata: { name, namespace: 'shop' } }
  return { key: `${kind}/${name}`, phase: kind === 'PersistentVolumeClaim' ? 'storage' : 'workloads', wave, object, ours: true }
}

const plan = (...objects: PlannedObject[]): Plan => ({ objects, failures: [], foreign: [] })
const begin = (objects: Plan, same = false, hooks?: 'install' | 'upgrade') =>
  beginRollout({ content: 't', trust: 'x', bundle: {} as LoadedBundle, plan: objects, same, asked: false }, hooks)

/** A runtime whose first stages are applied, and what the watches saw of them. */
function applied(objects: readonly PlannedObject[], health: Readonly<Record<string, Health>>) {
  const runtime = new ReleaseRuntime('shop')
  for (const item of objects) runtime.tracked.set(item.key, { planned: item, ownership: 'x', uid: 'u', generation: 1 })
  const get = ({ kind, name }: { kind: string; name: string }): Observed | undefined => {
    const seen = health[name]
    return seen && { key: `${kind}/${name}`, uid: 'u', generation: 1, ownership: 'x', values: 'v', added: '', health: seen, holder: 'shop' }
  }
  return { runtime, watches: { get } }
}

const healthy: Health = { state: 'Healthy', reason: 'Healthy', message: 'It is there.' }
const waiting: Health = { state: 'Progressing', reason: 'NotReady', message: '0 of 1 replicas are ready.' }

describe('a wave', () => {
  const db = planned('Deployment', 'db', 0)
  const web = planned('Deployment', 'web', 1)

  it('waits until what is of a lower wave is healthy, and says for what', () => {
    const rollout = begin(plan(db, web))
    const { runtime, watches } = applied([db], { db: waiting })
    expect(waitsForWave(runtime, watches, rollout)).toBeUndefined()
    rollout.next = 1
    expect(waitsForWave(runtime, watches, rollout)).toMatchObject({
      ready: false,
      reason: 'Progressing',
      message: 'Wave 1 waits until what comes before it is healthy. Deployment shop/db: 0 of 1 replicas are ready.',
      waitsFor: { what: 'Wave', names: ['Deployment shop/db'] },
    })
    expect(waitsForWave(runtime, applied([db], { db: healthy }).watches, rollout)).toBeUndefined()
  })

  it('waits for what has not been seen as it was applied', () => {
    const rollout = { ...begin(plan(db, web)), next: 1 }
    const { runtime } = applied([db], {})
    expect(waitsForWave(runtime, { get: () => 'unknown' }, rollout)).toMatchObject({ reason: 'Progressing' })
    expect(waitsForWave(new ReleaseRuntime('shop'), { get: () => undefined }, rollout)).toMatchObject({ reason: 'Progressing' })
  })

  it('says that it may wait in vain where something before it has failed', () => {
    const rollout = { ...begin(plan(db, web)), next: 1 }
    const { runtime, watches } = applied([db], { db: { state: 'Degraded', reason: 'X', message: 'no room' } })
    expect(waitsForWave(runtime, watches, rollout)).toMatchObject({ reason: 'Degraded', message: expect.stringContaining('no room') })
  })

  it('waits for the end of a job, and not for a claim that is bound only by who comes later', () => {
    const [job, claim] = [planned('Job', 'migrate', 0), planned('PersistentVolumeClaim', 'data', 0)]
    const rollout = { ...begin(plan(claim, job, web)), next: 1 }
    const running: Health = { state: 'Healthy', reason: 'Running', message: 'The job runs.' }
    const pending: Health = { state: 'Progressing', reason: 'Pending', message: 'It waits.' }
    const one = applied([job, claim], { migrate: running, data: pending })
    expect(waitsForWave(one.runtime, one.watches, rollout)).toMatchObject({ waitsFor: { names: ['Job shop/migrate'] } })
    const other = applied([job, claim], { migrate: healthy, data: pending })
    expect(waitsForWave(other.runtime, other.watches, rollout)).toBeUndefined()
  })

  it('has hooks around it: what they need and they themselves before, the others when all is healthy', () => {
    const hooked = (name: string, event: HookEvent, weight = 0) => ({
      ...planned('Job', name, 0),
      hook: { events: [event], weight, deleteOn: [] },
    })
    const account = { ...planned('ServiceAccount', 'account', 0), hook: { events: ['before-upgrade' as const], weight: 0, deleteOn: [] } }
    const [late, early, check] = [hooked('late', 'before-upgrade', 1), hooked('early', 'before-upgrade'), hooked('check', 'after-upgrade')]
    const all = plan(late, db, account, web, check, early, hooked('first', 'before-install'))
    const names = (hooks?: 'upgrade') =>
      begin(all, false, hooks).stages.map(({ objects }) => objects.map(({ object }) => object.metadata.name))
    expect(names('upgrade')).toEqual([['account'], ['early'], ['late'], ['db'], ['web'], ['check']])
    expect(names()).toEqual([['db', 'account'], ['web']])
    expect(
      begin(all, false, 'upgrade')
        .stages.at(-1)
        ?.after.map(({ object }) => object.metadata.name),
    ).toEqual(['db', 'account', 'web'])
  })

  it('is not waited for where the same content was applied whole before: it is put back at once', () => {
    expect(begin(plan(db, web), true).stages).toHaveLength(1)
    expect(begin(plan(db, web)).stages).toHaveLength(2)
  })
})

describe('what a release waits for', () => {
  const [then, now] = [new Date('2030-01-01T00:00:00Z'), new Date('2030-01-01T00:01:00Z')]
  const before = waitingSince(undefined, { what: 'Wave', names: ['a', 'b'] }, then)

  it('is told with the time since which it does, as long as some of it is the same', () => {
    expect(waitingSince(before, { what: 'Wave', names: ['b'] }, now)).toEqual({ what: 'Wave', names: ['b'], since: then.toISOString() })
    expect(waitingSince(before, { what: 'Wave', names: ['c'] }, now)?.since).toBe(now.toISOString())
    expect(waitingSince(before, { what: 'Dependency', names: ['a'] }, now)?.since).toBe(now.toISOString())
    expect(waitingSince(before, undefined, now)).toBeUndefined()
  })

  it('names a few of many', () => {
    const names = Array.from({ length: 100 }, (_, at) => `Deployment shop/${at}`)
    expect(waitingSince(undefined, { what: 'Wave', names }, now)?.names).toHaveLength(16)
  })
})
