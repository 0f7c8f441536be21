import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { flock } from '../flock.ts'
import { failure, noise } from '../testing/content.ts'
import { temporaryDirectory } from '../testing/registry.ts'
import { type ArchiveEntry, tarSize } from './stream.ts'
import { type WrittenArchive, writeArchive } from './write.ts'
import { compressFrame, frameBytes, frameLength } from './zstd.ts'

vi.setConfig({ testTimeout: 60_000 })

const kinds = ['media.tar', 'media.tar.zst'] as const
type Kind = (typeof kinds)[number]

/** What was read of each entry: from which byte on. */
type Reads = { name: string; from: number }[]

function entry(name: string, content: Uint8Array, reads: Reads): ArchiveEntry {
  return {
    name,
    size: content.length,
    digest: digests.get(content) ?? digestOf(content),
    open: async function* ({ from = 0 }) {
      reads.push({ name, from })
      for (let at = from; at < content.length; at += 300_000) yield content.subarray(at, Math.min(content.length, at + 300_000))
    },
  }
}

/** Large and small ones, an empty one, and one that ends where a frame does. */
const contents: readonly Uint8Array[] = [
  noise(700, 1),
  noise(5_000_000, 2),
  new Uint8Array(),
  noise(40_000, 3),
  new Uint8Array(3_000_000),
  noise(2_500_000, 4),
  noise(1000, 5),
]

const digests = new Map(contents.map((content) => [content, digestOf(content)]))

function entries(reads: Reads = [], all = contents): ArchiveEntry[] {
  return all.map((content, at) => entry(`blobs/${at}`, content, reads))
}

const whole = new Map<Kind, Buffer>()

beforeAll(async () => {
  const directory = await mkdtemp(join(tmpdir(), 'muster-oci-'))
  for (const kind of kinds) {
    await writeArchive(join(directory, kind), entries())
    whole.set(kind, await readFile(join(directory, kind)))
  }
  await rm(directory, { recursive: true })
})

const bytesOf = (kind: Kind): Buffer => whole.get(kind) ?? Buffer.alloc(0)

/** Runs again where a run left `partial`. */
async function goOn(kind: Kind, partial: Uint8Array, all = contents): Promise<{ written: WrittenArchive; reads: Reads; bytes: Buffer }> {
  const file = join(await temporaryDirectory(), kind)
  await writeFile(`${file}.partial`, partial)
  const reads: Reads = []
  const written = await writeArchive(file, entries(reads, all))
  expect(await readdir(join(file, '..'))).toEqual([kind])
  return { written, reads, bytes: await readFile(file) }
}

/** Where each entry's content lies in the tar. */
const places = contents.map((content, at) => {
  const start = tarSize(entries().slice(0, at)) - 512
  return { name: `blobs/${at}`, start, end: start + content.length }
})

describe.each(kinds)('%s that was ended', (kind) => {
  it('at any byte is gone on with: it is the same in the end, and what was there is not read again', async () => {
    const bytes = bytesOf(kind)
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length }), async (length) => {
        const { written, reads, bytes: again } = await goOn(kind, bytes.subarray(0, length))
        expect(again.equals(bytes)).toBe(true)
        expect(written.resumed % frameBytes).toBe(0)
        if (kind === 'media.tar') expect(written.resumed).toBe(Math.floor(length / frameBytes) * frameBytes)
        for (const { name, from } of reads) {
          const place = places.find((one) => one.name === name)
          expect(place?.start).toBeDefined()
          expect((place?.start ?? 0) + from).toBeGreaterThanOrEqual(Math.min(written.resumed, place?.end ?? 0))
          expect(place?.end === place?.start || (place?.end ?? 0) > written.resumed).toBe(true)
        }
      }),
      { numRuns: 12, seed: 20_261_128 },
    )
  })

  it('and then damaged anywhere is never trusted: what is not what it should be is read again', async () => {
    const bytes = bytesOf(kind)
    const damage = fc.record({ length: fc.integer({ min: 1, max: bytes.length }), at: fc.nat(), byte: fc.integer({ min: 1, max: 255 }) })
    await fc.assert(
      fc.asyncProperty(damage, async ({ length, at, byte }) => {
        const partial = Buffer.from(bytes.subarray(0, length))
        partial[at % length] = (partial[at % length] ?? 0) ^ byte
        expect((await goOn(kind, partial)).bytes.equals(bytes)).toBe(true)
      }),
      { numRuns: 12, seed: 20_261_128 },
    )
  })

  it('in the middle of a blob asks only for the rest of it, and for all of it when the beginning was damaged', async () => {
    const bytes = bytesOf(kind)
    // Two frames: then the large blob is in the middle.
    const [one = 0, two = 0] = frameEnds(kind)
    const partial = Buffer.from(bytes.subarray(0, two))
    const { reads, written } = await goOn(kind, partial)
    expect(written.resumed).toBe(2 * frameBytes)
    expect(reads[0]).toEqual({ name: 'blobs/1', from: 2 * frameBytes - (places[1]?.start ?? 0) })

    const changed = new Uint8Array(frameBytes).fill(1)
    const frame = kind === 'media.tar' ? changed : await compressFrame(changed)
    const damaged = await goOn(kind, Buffer.concat([bytes.subarray(0, one), frame]))
    expect(damaged.bytes.equals(bytes)).toBe(true)
    expect(damaged.reads.map(({ name, from }) => `${name} ${from > 0}`).slice(0, 3)).toEqual([
      'blobs/1 true',
      'blobs/0 false',
      'blobs/1 false',
    ])
    expect(damaged.written.resumed).toBe(0)
  })

  it('for other content is not gone on with', async () => {
    const others = contents.map((content, at) => (at === 0 ? noise(700, 9) : content))
    const { written, reads, bytes } = await goOn(kind, bytesOf(kind), others)
    expect(written.resumed).toBe(0)
    expect(reads.map(({ from }) => from)).toEqual(others.map(() => 0))
    expect(bytes.equals(bytesOf(kind))).toBe(false)
  })

  it('by an error keeps what it has; a source that then gives something else is refused, and one that is right goes on', async () => {
    const file = join(await temporaryDirectory(), kind)
    const [, large = new Uint8Array()] = contents
    const withLarge = (give: (from: number) => AsyncIterable<Uint8Array>): ArchiveEntry[] =>
      entries().map((one, at) => (at === 1 ? { ...one, open: ({ from = 0 }) => give(from) } : one))
    const cut = withLarge(async function* () {
      yield large.subarray(0, 4_800_000)
      throw new Error('cut off')
    })
    await expect(writeArchive(file, cut)).rejects.toThrow('cut off')
    expect(await readdir(join(file, '..'))).toEqual([`${kind}.partial`])
    // From its beginning, a source verifies by itself what it gives.
    const wrong = withLarge(async function* (from) {
      if (from === 0) throw new OciError('DigestMismatch', 'The source says so.')
      yield noise(large.length - from, 7)
    })
    await expect(writeArchive(file, wrong)).rejects.toThrow('The source says so.')
    const short = withLarge(async function* (from) {
      yield large.subarray(from, -1)
    })
    expect(await failure(writeArchive(file, short))).toBe('SizeMismatch')
    expect(await readdir(join(file, '..'))).toEqual([`${kind}.partial`])
    await writeArchive(file, entries())
    expect((await readFile(file)).equals(bytesOf(kind))).toBe(true)
  })

  it('that another process writes is refused, and left alone', async () => {
    const file = join(await temporaryDirectory(), kind)
    const other = await open(`${file}.partial`, 'a+')
    expect(await flock(other, file)).toBe(true)
    await expect(writeArchive(file, entries())).rejects.toThrow(`${file} is being written by another process. Wait`)
    expect((await stat(`${file}.partial`)).size).toBe(0)
    await other.close()
    const [one, two] = await Promise.allSettled([writeArchive(file, entries()), writeArchive(file, entries())])
    // The second came too late, or after the first was done.
    expect([one.status, two.status]).toContain('fulfilled')
    expect((await readFile(file)).equals(bytesOf(kind))).toBe(true)
    expect(await readdir(join(file, '..'))).toEqual([kind])
  })

  it('is only ever a file of that name, and no link to another', async () => {
    const directory = await temporaryDirectory()
    const file = join(directory, kind)
    await writeFile(join(directory, 'other'), 'precious')
    await symlink('other', `${file}.partial`)
    expect(await failure(writeArchive(file, entries()))).toBe('Storage')
    expect(await readFile(join(directory, 'other'), 'utf8')).toBe('precious')
    await rm(`${file}.partial`)
    await mkdir(`${file}.partial`)
    expect(await failure(writeArchive(file, entries()))).toBe('Storage')
  })
})

describe('the length of a zstd frame', () => {
  it('is found without decompressing it, whatever comes behind', async () => {
    const samples = [new Uint8Array(), new Uint8Array(frameBytes), noise(10), noise(300_000), noise(frameBytes)]
    for (const sample of samples) {
      for (const frame of [await compressFrame(sample), zstdCompressSync(sample, { pledgedSrcSize: sample.length })]) {
        expect(frameLength(Buffer.concat([frame, noise(100)]))).toBe(frame.length)
        for (const length of [0, 4, 5, frame.length - 1]) expect(frameLength(frame.subarray(0, length))).toBeUndefined()
      }
    }
  })

  it('is none for any bytes at all, and always within them', () => {
    const some = fc.uint8Array({ maxLength: 200 })
    const magic = [0x28, 0xb5, 0x2f, 0xfd]
    fc.assert(
      fc.property(some, fc.boolean(), (bytes, isFrame) => {
        const all = isFrame ? Uint8Array.from([...magic, ...bytes]) : bytes
        expect(frameLength(all) ?? 0).toBeLessThanOrEqual(all.length)
      }),
    )
  })
})

/** Where the first frames end in the file. */
function frameEnds(kind: Kind): number[] {
  const bytes = bytesOf(kind)
  const ends: number[] = []
  for (let at = 0; ends.length < 3; ends.push(at)) at += kind === 'media.tar' ? frameBytes : (frameLength(bytes.subarray(at)) ?? 0)
  return ends
}
