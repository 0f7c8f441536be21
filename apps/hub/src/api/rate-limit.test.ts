import { describe, expect, it } from 'vitest'
import { RateLimit } from './rate-limit.ts'

describe('a rate limit', () => {
  it('lets a burst pass, then one each time that its time is over, and says how long to wait', () => {
    const limit = new RateLimit({ burst: 2, refillMs: 100 }, 10)
    expect([0, 0, 0, 50, 100, 100].map((at) => limit.take('a', at))).toEqual([0, 0, 100, 50, 0, 100])
    expect(limit.take('b', 100)).toBe(0)
    expect([10_000, 10_000, 10_000].map((at) => limit.take('a', at))).toEqual([0, 0, 100])
  })

  it('remembers a bounded number of addresses, those seen last', () => {
    const limit = new RateLimit({ burst: 1, refillMs: 1000 }, 2)
    expect([limit.take('a', 0), limit.take('b', 0), limit.take('a', 0)]).toEqual([0, 0, 1000])
    expect(limit.take('c', 0)).toBe(0)
    expect(limit.take('a', 0)).toBe(1000)
    expect(limit.take('b', 0)).toBe(0)
  })
})
