import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkStaticBinary } from './elf.ts'
import { ImageError } from './errors.ts'

let dir: string
let file: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-elf-'))
  file = join(dir, 'program')
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** The smallest file that reads as a program: a header and a table of segments of the given types. */
function program(machine: number, segments: readonly number[]): Buffer {
  const bytes = Buffer.alloc(64 + 56 * segments.length)
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(bytes)
  bytes.writeUInt16LE(2, 16)
  bytes.writeUInt16LE(machine, 18)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(segments.length, 56)
  for (const [index, type] of segments.entries()) bytes.writeUInt32LE(type, 64 + 56 * index)
  return bytes
}

describe('a binary for the empty base', () => {
  it('is taken when it is static and for the processor', async () => {
    await writeFile(file, program(62, [1, 1, 4]))
    await checkStaticBinary(file, 'amd64')
    await writeFile(file, program(183, [1]))
    await checkStaticBinary(file, 'arm64')
  })

  it.each([
    ['names a dynamic loader', program(62, [1, 3]), /dynamic loader/],
    ['is for another processor', program(183, [1]), /another processor/],
    ['is a script', Buffer.from(`#!/bin/sh\n${'#'.repeat(100)}`), /not a Linux program/],
    ['is empty', Buffer.alloc(0), /not a Linux program/],
  ])('is refused when it %s', async (_, bytes, message) => {
    await writeFile(file, bytes)
    await expect(checkStaticBinary(file, 'amd64')).rejects.toMatchObject({ code: 'BinaryUnfit', message: expect.stringMatching(message) })
  })

  it('with any bytes after the magic is taken or refused, never anything else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 0, maxLength: 300 }), async (tail) => {
        await writeFile(file, Buffer.concat([program(62, []).subarray(0, 20), tail]))
        const error: unknown = await checkStaticBinary(file, 'amd64').catch((thrown: unknown) => thrown)
        expect(error === undefined || error instanceof ImageError).toBe(true)
      }),
      { numRuns: 200, seed: 3 },
    )
  })
})
