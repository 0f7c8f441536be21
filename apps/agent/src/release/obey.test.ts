import { type ReleaseHistoryEntry, releaseReasons } from '@muster/api'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recordHistory } from './history.ts'
import { obeySite, suspensionOf } from './obey.ts'
import { orHeld } from './site.ts'

const digest = (version: number): string => `sha256:${String(version).padStart(64, '0')}`
const bundle = (version: number) => ({ repository: 'bundles/shop', version: `${version}.0.0`, digest: digest(version), size: 1 })
const seen = (version: number, outcome = 'Healthy') => ({
  ...{ digest: digest(version), version: `${version}.0.0`, repository: 'bundles/shop' },
  ...{ generation: version, by: 'channel' as const, outcome },
})
const minute = (count: number): Date => new Date(Date.UTC(2026, 0, 1, 12, count))

describe('the history of a release', () => {
  it('has each version from when to when, the newest first, and whether it became healthy', () => {
    let history: readonly ReleaseHistoryEntry[] = []
    history = recordHistory(history, seen(1, 'Progressing'), minute(0))
    history = recordHistory(history, seen(1), minute(1))
    history = recordHistory(history, seen(1, 'Degraded'), minute(2))
    history = recordHistory(history, seen(2, 'Progressing'), minute(3))
    history = recordHistory(history, seen(2, 'Degraded'), minute(4))
    expect(history).toEqual([
      { ...seen(2, 'Degraded'), from: minute(3).toISOString() },
      { ...seen(1), from: minute(0).toISOString(), to: minute(3).toISOString() },
    ])
  })

  it('is bounded, its times never overlap, and what stays the same is not written anew', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom('Progressing', 'Healthy', 'Degraded'))), (steps) => {
        let history: readonly ReleaseHistoryEntry[] = []
        steps.forEach(([version, outcome], at) => {
          history = recordHistory(history, seen(version, outcome), minute(at))
          expect(recordHistory(history, seen(version, outcome), minute(at + 1))).toBe(history)
          expect(history[0]).toMatchObject({ digest: digest(version) })
        })
        expect(history.length).toBeLessThanOrEqual(10)
        history.forEach((one, at) => {
          expect(one.to).toBe(history[at - 1]?.from)
          expect(history[at + 1]?.digest).not.toBe(one.digest)
        })
      }),
    )
  })
})

describe('a site', () => {
  const history = [{ ...seen(1), from: minute(0).toISOString() }]
  const entry = { name: 'shop', bundle: bundle(2), namespace: 'shop', settings: { suspend: { reason: 'freeze' } } }

  it('holds a release at a digest that ran there, with the settings of now', () => {
    const hold = { digest: digest(1), reason: 'orders fail', since: minute(1).toISOString() }
    expect(obeySite(entry, { hold }, history)).toEqual({
      entry: { ...entry, bundle: bundle(1) },
      held: { ...hold, version: '1.0.0', wanted: '2.0.0' },
    })
  })

  it('holds a release as its own decision, which is said with the reason, and calls no fault what is healthy so', () => {
    const hold = { digest: digest(1), version: '1.0.0', reason: 'orders fail', since: minute(1).toISOString(), wanted: '2.0.0' }
    const healthy = { ready: true, reason: releaseReasons.healthy, message: 'All 3 objects are healthy.' }
    expect(orHeld(healthy, hold)).toEqual({
      ready: true,
      reason: 'Held',
      message:
        'The site holds it at version 1.0.0 since 2026-01-01T12:01:00.000Z, and version 2.0.0 is wanted: orders fail. All 3 objects are healthy.',
    })
    const degraded = { ...healthy, ready: false, reason: releaseReasons.degraded }
    expect(orHeld(degraded, hold)).toBe(degraded)
    const { wanted: _, ...same } = hold
    expect(orHeld(healthy, same)).toBe(healthy)
  })

  it('cannot bring in by a hold what never ran there', () => {
    const obeyed = obeySite(entry, { hold: { digest: digest(7), reason: 'because' } }, history)
    expect(obeyed).toMatchObject({ entry, held: { version: undefined } })
  })

  it('can hold it at what is wanted now, before that has run', () => {
    expect(obeySite(entry, { hold: { digest: digest(2), reason: 'no more' } }, [])).toMatchObject({ held: { version: '2.0.0' } })
  })

  it('suspends beside the hub, and is named first', () => {
    expect(suspensionOf(undefined, entry)).toEqual({ by: 'hub', reason: 'freeze' })
    expect(suspensionOf({ suspend: { reason: 'disk' } }, entry)).toEqual({ by: 'site', reason: 'disk' })
    expect(suspensionOf(undefined, undefined)).toBeUndefined()
  })
})
