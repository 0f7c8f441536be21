import { describe, expect, it } from 'vitest'
import { backoffMs, CertainClock, type Clock } from './clock.ts'

const minute = 60_000
const start = Date.parse('2030-01-01T12:00:00Z')

/** A machine's clock, and the time that really passes. */
function machine() {
  const shown = { aheadMs: 0, passedMs: 0 }
  const clock: Clock = {
    now: () => new Date(start + shown.passedMs + shown.aheadMs),
    monotonicMs: () => 5_000 + shown.passedMs,
    random: () => 0.5,
    sleep: async () => {},
  }
  return { shown, certain: new CertainClock(clock) }
}

describe('time as far as it is certain', () => {
  it('gives its chance to a backoff', () => {
    const { certain } = machine()
    expect(backoffMs(1, { baseMs: 1_000, maxMs: 60_000 }, certain.random)).toBe(1_500)
  })

  it('is what the machine says, as long as nothing is known', () => {
    const { shown, certain } = machine()
    shown.aheadMs = -60 * minute
    expect(certain.now().getTime()).toBe(start - 60 * minute)
  })

  it('does not go back behind the newest channel and what has passed since, wherever the clock is set', () => {
    const { shown, certain } = machine()
    certain.learn(new Date(start - 5 * minute).toISOString())
    shown.passedMs = 60 * minute
    expect(certain.now().getTime()).toBe(start + 60 * minute)
    shown.aheadMs = -24 * 60 * minute
    expect(certain.now().getTime()).toBe(start + 55 * minute)
    shown.passedMs = 70 * minute
    expect(certain.now().getTime()).toBe(start + 65 * minute)
    // Newer, and a long time on its way.
    certain.learn(new Date(start).toISOString())
    expect(certain.now().getTime()).toBe(start + 65 * minute)
  })

  it('remembers nothing of a clock that was set forth, nor of a hub’s time that a newer channel corrects', () => {
    const { shown, certain } = machine()
    certain.learn(new Date(start).toISOString())
    shown.aheadMs = 24 * 60 * minute
    expect(certain.now().getTime()).toBe(start + 24 * 60 * minute)
    shown.aheadMs = 0
    expect(certain.now().getTime()).toBe(start)
    certain.learn(new Date(start + 600 * minute).toISOString())
    expect(certain.now().getTime()).toBe(start + 600 * minute)
    certain.learn(new Date(start + minute).toISOString())
    expect(certain.now().getTime()).toBe(start + minute)
    certain.learn('not a time')
    expect(certain.now().getTime()).toBe(start + minute)
  })

  it('may be handed on in parts, as any clock', () => {
    const { certain } = machine()
    const { now, random, monotonicMs } = certain
    expect([now().getTime(), random(), monotonicMs()]).toEqual([start, 0.5, 5_000])
  })
})
