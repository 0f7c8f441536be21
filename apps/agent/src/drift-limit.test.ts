import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CorrectionLimit, correctionDelay } from './drift-limit.ts'

describe('corrections of one object', () => {
  it('come at once for a person’s few mistakes', () => {
    const limit = new CorrectionLimit()
    for (const at of [0, 100, 200, 300]) {
      expect(limit.delay('x', at)).toBe(0)
      limit.corrected('x', at)
    }
    expect(limit.delay('x', 300)).toBeGreaterThan(0)
    expect(limit.delay('another', 300)).toBe(0)
  })

  it('come ever more slowly while another fights over a field, and at once again after two minutes of peace', () => {
    const limit = new CorrectionLimit()
    let now = 0
    const waits: number[] = []
    for (let i = 0; i < 12; i++) {
      const wait = limit.delay('x', now)
      waits.push(wait)
      now += wait
      limit.corrected('x', now)
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b))
    expect(waits.at(-1)).toBeGreaterThan(15_000)
    expect(limit.delay('x', now + 120_000)).toBe(0)
  })

  it('never wait longer than a minute', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1_000_000)), fc.nat(1_000_000), (times, now) => {
        const sorted = times.filter((time) => time <= now).sort((a, b) => a - b)
        const wait = correctionDelay(sorted, now)
        expect(wait).toBeGreaterThanOrEqual(0)
        expect(wait).toBeLessThanOrEqual(60_000)
      }),
    )
  })
})
