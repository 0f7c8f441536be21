import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffDelay, connectionBackoff, itemBackoff } from './backoff.ts'

describe('backoffDelay', () => {
  it('grows from 5 ms to 1,000 s for an item', () => {
    const delays = Array.from({ length: 20 }, (_, failures) => backoffDelay(itemBackoff, failures, () => 0))
    expect(delays.slice(0, 4)).toEqual([5, 10, 20, 40])
    expect(delays.at(-1)).toBe(1_000_000)
  })

  it('stays between its bounds for ever', () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (failures, chance) => {
        const { baseMs, maxMs, jitter } = connectionBackoff
        const delay = backoffDelay(connectionBackoff, failures, () => chance)
        expect(delay).toBeGreaterThanOrEqual(baseMs)
        expect(delay).toBeLessThanOrEqual(maxMs * (1 + jitter))
      }),
    )
  })
})
