import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { beginTrial, lookAtTrial, pauseTrial, resumeTrial, type Trial } from './trial.ts'

const limits = { deadlineMs: 600_000, minHealthyMs: 10_000 }
const start = Date.parse('2030-01-01T00:00:00Z')
const at = (seconds: number) => new Date(start + seconds * 1000)

/** Looks every ten seconds; gives when it ended and how. */
function watched(
  trial: Trial,
  from: number,
  to: number,
  healthy: (second: number) => boolean,
): { verdict: string; at: number; trial: Trial } {
  let last = trial
  for (let second = from; second <= to; second += 10) {
    const { trial: looked, verdict } = lookAtTrial(last, healthy(second), limits, at(second))
    if (verdict !== 'on trial') return { verdict, at: second, trial: looked }
    last = looked
  }
  return { verdict: 'on trial', at: to, trial: last }
}

describe('a version on trial', { timeout: 60_000 }, () => {
  it('is good once it was healthy for long enough without a break', () => {
    expect(watched(beginTrial('a', at(0)), 0, 700, (second) => second >= 100)).toMatchObject({ verdict: 'good', at: 110 })
  })

  it('has failed when it is not healthy at its deadline', () => {
    expect(watched(beginTrial('a', at(0)), 0, 700, () => false)).toMatchObject({ verdict: 'failed', at: 600 })
  })

  it('that is healthy now and then is not good, and fails', () => {
    expect(watched(beginTrial('a', at(0)), 0, 700, (second) => second % 20 === 0)).toMatchObject({ verdict: 'failed' })
  })

  it('that is healthy just at its deadline may show that it stays so', () => {
    expect(watched(beginTrial('a', at(0)), 0, 700, (second) => second >= 600)).toMatchObject({ verdict: 'good', at: 610 })
  })

  it('does not fail by a clock that is set forward or back, nor while nobody looks', () => {
    const { trial } = watched(beginTrial('a', at(0)), 0, 100, () => false)
    const year = 366 * 86_400
    const forward = lookAtTrial(trial, false, limits, at(year))
    expect(forward.verdict).toBe('on trial')
    const back = lookAtTrial(forward.trial, false, limits, at(110))
    expect(back).toMatchObject({ verdict: 'on trial', trial: { watchedMs: forward.trial.watchedMs } })
  })

  it('goes on after a restart where it was, and is watched for a while before it may fail', () => {
    expect(resumeTrial({ key: 'a', startedAt: at(0).toISOString() }, limits, at(60)).watchedMs).toBe(60_000)
    const late = resumeTrial({ key: 'a', startedAt: at(0).toISOString() }, limits, at(86_400))
    expect(lookAtTrial(late, false, limits, at(86_400)).verdict).toBe('on trial')
    expect(watched(late, 86_400, 87_000, () => false)).toMatchObject({ verdict: 'failed', at: 86_430 })
    expect(watched(late, 86_400, 87_000, (second) => second >= 86_420)).toMatchObject({ verdict: 'good' })
  })

  it('is not counted while it is paused', () => {
    const { trial } = watched(beginTrial('a', at(0)), 0, 100, () => false)
    const paused = pauseTrial(pauseTrial(trial, at(110)), at(120))
    expect(paused.watchedMs).toBe(trial.watchedMs)
  })

  it('is never judged failed before it was watched for its time, nor good before it was healthy for its own, whatever the clock does', () => {
    const looks = fc.array(fc.tuple(fc.integer({ min: -100_000, max: 100_000 }), fc.boolean()), { maxLength: 100 })
    fc.assert(
      fc.property(looks, (steps) => {
        let now = start
        let trial = beginTrial('a', new Date(now))
        let forward = 0
        for (const [step, healthy] of steps) {
          now += step
          forward += Math.max(0, step)
          const looked = lookAtTrial(trial, healthy, limits, new Date(now))
          if (looked.verdict === 'failed') expect(forward).toBeGreaterThanOrEqual(limits.deadlineMs)
          if (looked.verdict === 'good') expect(trial.healthy).toBe(true)
          trial = looked.trial
        }
      }),
    )
  })
})
