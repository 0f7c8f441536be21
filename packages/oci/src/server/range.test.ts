import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseChunkRange, parseRange } from './range.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

describe('byte ranges', () => {
  it.each([
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=2-', { start: 2, end: 9 }],
    ['bytes=2-100', { start: 2, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-100', { start: 0, end: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=3-2', undefined],
    ['bytes=0-1,3-4', undefined],
    ['bytes=-', undefined],
    ['items=0-1', undefined],
    [undefined, undefined],
  ])('%s of ten bytes', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected)
  })

  it('never reach outside the content', () => {
    const header = fc.oneof(fc.string(), fc.stringMatching(/^bytes=[0-9]{0,16}-[0-9]{0,16}$/))
    fc.assert(
      fc.property(header, fc.nat(10_000), (text, size) => {
        const range = parseRange(text, size)
        if (range === undefined || range === 'unsatisfiable') return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThanOrEqual(range.start)
        expect(range.end).toBeLessThan(size)
      }),
    )
  })
})

describe('chunk ranges', () => {
  it.each([
    ['0-9', { start: 0, end: 9 }],
    ['bytes 5-9/10', { start: 5, end: 9 }],
    ['bytes=5-9', { start: 5, end: 9 }],
    ['9-5', undefined],
    ['5-', undefined],
    ['a-b', undefined],
  ])('%s', (header, expected) => {
    expect(parseChunkRange(header)).toEqual(expected)
  })
})
