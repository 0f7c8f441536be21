import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LineParser } from './line-parser.ts'

/** Cuts a buffer at the given places, in any order. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((one, other) => one - other)
  return [...cuts, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : cuts[index - 1], end))
}

describe('LineParser', () => {
  it('gives the same lines whatever the chunks are, even within a character', () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ' '))
    fc.assert(
      fc.property(fc.array(line), line, fc.array(fc.nat(10_000)), (lines, rest, places) => {
        const bytes = Buffer.from([...lines, rest].join('\n'))
        const parser = new LineParser(1_000_000)
        expect(cutAt(bytes, places).flatMap((chunk) => parser.push(chunk))).toEqual(lines)
        expect(parser.pending).toBe(Buffer.byteLength(rest))
      }),
    )
  })

  it('takes a line of exactly the limit and refuses one byte more, however it arrives', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.array(fc.nat(300)), (limit, places) => {
        const feed = (bytes: Buffer) => {
          const parser = new LineParser(limit)
          return cutAt(bytes, places).flatMap((chunk) => parser.push(chunk))
        }
        expect(feed(Buffer.from(`${'a'.repeat(limit)}\n`))).toEqual(['a'.repeat(limit)])
        expect(() => feed(Buffer.from(`${'a'.repeat(limit + 1)}\n`))).toThrow(expect.objectContaining({ code: 'BadResponse' }))
        expect(() => feed(Buffer.from('a'.repeat(limit + 1)))).toThrow(expect.objectContaining({ code: 'BadResponse' }))
      }),
    )
  })
})
