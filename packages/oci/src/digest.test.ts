import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf, isDigest, verifyStream } from './digest.ts'
import { chunks, collect, describeBlob, failure } from './testing/content.ts'

// The same cases in each run: a red test is red again.
fc.configureGlobal({ seed: 20_261_124 })

describe('digests', () => {
  it('are those of FIPS 180-4', () => {
    expect(digestOf(new TextEncoder().encode('abc'))).toBe('sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  })

  it.each([
    '',
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha512:${'a'.repeat(128)}`,
    `sha256:${'a'.repeat(64)}\n`,
    `sha256:${'a'.repeat(63)}/`,
  ])('are not %j', (text) => {
    expect(isDigest(text)).toBe(false)
  })
})

describe('a verified stream', () => {
  it('passes content through unchanged, wherever its chunks end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 50 }), async (bytes, size) => {
        const got = await collect(verifyStream(chunks(bytes, size), describeBlob(bytes), 'here'))
        expect(got.equals(bytes)).toBe(true)
      }),
    )
  })

  it('throws for any one changed bit', async () => {
    const flip = fc
      .uint8Array({ minLength: 1, maxLength: 100 })
      .chain((bytes) => fc.tuple(fc.constant(bytes), fc.nat(bytes.length * 8 - 1)))
    await fc.assert(
      fc.asyncProperty(flip, async ([bytes, bit]) => {
        const changed = bytes.map((byte, at) => (at === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte))
        expect(await failure(collect(verifyStream(chunks(changed, 7), describeBlob(bytes), 'here')))).toBe('DigestMismatch')
      }),
    )
  })

  it('throws for content that is cut short or goes on', async () => {
    const bytes = new Uint8Array(100)
    expect(await failure(collect(verifyStream(chunks(bytes.subarray(1), 7), describeBlob(bytes), 'here')))).toBe('SizeMismatch')
    expect(await failure(collect(verifyStream(chunks(new Uint8Array(101), 7), describeBlob(bytes), 'here')))).toBe('SizeMismatch')
  })
})
