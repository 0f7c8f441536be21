import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { BundleError } from './errors.ts'
import { readUstar, writeUstar } from './ustar.ts'

// Thousands of generated cases: longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

const entry = fc.record({
  path: fc.stringMatching(/^[a-z0-9]{1,20}(\/[a-z0-9-]{1,20}\.yaml)?$/),
  content: fc.uint8Array({ maxLength: 1500 }),
})
const files = [
  { path: 'a.yaml', content: new TextEncoder().encode('a: 1\n') },
  { path: 'b/c.yaml', content: new Uint8Array(600).fill(7) },
]

describe('ustar archives', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const back = readUstar(writeUstar(entries), 10).map(({ path, content }) => ({ path, content: new Uint8Array(content) }))
        expect(back).toEqual(entries)
      }),
    )
  })

  it('of the same files have the same bytes', () => {
    expect(writeUstar(files)).toEqual(writeUstar(structuredClone(files)))
  })

  it('that are cut off anywhere are refused', () => {
    const archive = writeUstar(files)
    for (let size = 0; size < archive.length; size += 1) expect(() => readUstar(archive.subarray(0, size), 10)).toThrow(BundleError)
  })

  it('with any changed byte give other contents or are refused, never the same files', () => {
    const archive = writeUstar(files)
    fc.assert(
      fc.property(fc.nat(archive.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const changed = archive.slice()
        changed[at] = (changed[at] ?? 0) ^ mask
        try {
          expect(writeUstar(readUstar(changed, 10))).toEqual(changed)
        } catch (error) {
          expect(error).toBeInstanceOf(BundleError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it.each(['77777777777', '00000002000', '0000000000x', '-0000000001'])('that lie about a size (%s) are refused', (size) => {
    const archive = Buffer.from(writeUstar([{ path: 'a.yaml', content: new Uint8Array(5) }]))
    archive.write(size, 124, 'latin1')
    const sum = archive.subarray(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0)
    archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
    expect(() => readUstar(archive, 10)).toThrow(BundleError)
  })

  it.each(['../a', '/a', 'a//b', 'a/../b', '.a', 'a b', '', 'a'.repeat(101)])('do not take the path "%s"', (path) => {
    expect(() => writeUstar([{ path, content: new Uint8Array() }])).toThrow(expect.objectContaining({ code: 'FormatInvalid' }))
  })

  it('with more files than expected are refused', () => {
    expect(() => readUstar(writeUstar(files), 1)).toThrow(expect.objectContaining({ code: 'TooLarge' }))
  })

  it('are read or refused, whatever bytes come', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1024, maxLength: 4096 }), (noise) => {
        expect(() => readUstar(noise, 10)).toThrow(BundleError)
      }),
    )
  })
})
