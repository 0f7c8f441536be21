import { createHash } from 'node:crypto'
import { appendFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { mediaTypes } from '../manifest.ts'
import { collect, failure, noise } from '../testing/content.ts'
import { temporaryDirectory } from '../testing/registry.ts'
import { Archive } from './archive.ts'
import type { ArchiveEntry } from './stream.ts'
import { tarHeader } from './tar.ts'
import { writeArchive } from './write.ts'

vi.setConfig({ testTimeout: 30_000 })

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const entry = (name: string, content: Uint8Array): ArchiveEntry => ({
  name,
  size: content.length,
  digest: digestOf(content),
  open: async function* ({ from = 0 }) {
    yield content.subarray(from)
  },
})
const pathOf = (digest: string): string => `blobs/sha256/${digest.slice(7)}`
const layer = noise(9_000_000)
const blob = { mediaType: 'application/x', digest: digestOf(layer), size: layer.length }
const manifest = bytes(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.imageManifest, config: { ...blob }, layers: [] }))
const root = { mediaType: mediaTypes.imageManifest, digest: digestOf(manifest), size: manifest.length }
const marker = entry('oci-layout', bytes('{"imageLayoutVersion":"1.0.0"}'))
const index = entry(
  'index.json',
  bytes(JSON.stringify({ schemaVersion: 2, manifests: [{ ...root, annotations: { 'org.opencontainers.image.ref.name': '1' } }] })),
)
const whole = [marker, index, entry(pathOf(root.digest), manifest), entry(pathOf(blob.digest), layer)]

async function fileOf(entries: readonly ArchiveEntry[], name = 'a.tar', options = {}): Promise<string> {
  const file = join(await temporaryDirectory(), name)
  await writeArchive(file, entries, options)
  return file
}

async function readBack(file: string): Promise<void> {
  const archive = await Archive.open(file)
  try {
    expect(await archive.resolve('1')).toEqual(root)
    expect((await archive.manifest(root.digest)).bytes).toEqual(Buffer.from(manifest))
    expect(digestOf(await collect(archive.blob(blob)))).toBe(blob.digest)
    expect((await collect(archive.blobRest(blob, 5_000_000))).equals(layer.subarray(5_000_000))).toBe(true)
  } finally {
    await archive.close()
  }
}

/** A tar with one entry more, of whatever kind. */
async function withHeader(header: Buffer): Promise<string> {
  const file = join(await temporaryDirectory(), 'bad.tar')
  await writeFile(file, Buffer.concat([header, Buffer.alloc(1024)]))
  return file
}

function header(name: string, change: (bytes: Buffer) => void = () => {}): Buffer {
  const made = Buffer.from(tarHeader({ name: 'x', size: 0 }))
  made.fill(0, 0, 100)
  made.write(name, 0)
  change(made)
  made.fill(' ', 148, 156)
  made.write(
    `${made
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return made
}

describe('an archive', () => {
  it.each(['a.tar', 'a.tar.zst'])('%s is read where it lies, whole and in parts', async (name) => {
    await readBack(await fileOf(whole, name))
    const file = await fileOf(whole, name, { partBytes: 4 * 1024 * 1024 })
    await readBack(file)
    const list = await readFile(`${file}.sha256`, 'utf8')
    expect(list.split('\n').length).toBeGreaterThan(3)
    const first = await readFile(`${file}.part0001`)
    expect(list).toContain(`${createHash('sha256').update(first).digest('hex')}  ${name}.part0001\n`)
  })

  it('that others compressed is read, too', async () => {
    const plain = await readFile(await fileOf(whole))
    const file = join(await temporaryDirectory(), 'others.tar.zst')
    await writeFile(file, zstdCompressSync(plain))
    await readBack(file)
  })

  it('is the same each time', async () => {
    const once = await readFile(await fileOf(whole, 'a.tar.zst'))
    expect(once.equals(await readFile(await fileOf(whole, 'a.tar.zst')))).toBe(true)
  })

  it('appears only when it is whole, and an earlier one stays', async () => {
    const file = await fileOf(whole)
    const before = await readFile(file)
    const broken = { ...entry('blobs/sha256/x', bytes('short')), size: 10 }
    expect(await failure(writeArchive(file, [marker, broken]))).toBe('SizeMismatch')
    expect((await readFile(file)).equals(before)).toBe(true)
    expect(await readdir(join(file, '..'))).toEqual(['a.tar'])
  })

  const inParts = { partBytes: 4 * 1024 * 1024 }

  /** Writes the archive up to its third part, as a process does that is ended there. */
  async function endedInTheMiddle(file: string): Promise<void> {
    const dying = {
      ...entry(pathOf(blob.digest), layer),
      open: async function* () {
        yield layer.subarray(0, 8_800_000)
        throw new Error('killed')
      },
    }
    await expect(writeArchive(file, [...whole.slice(0, 3), dying], inParts)).rejects.toThrow('killed')
  }

  it('goes on at its last whole part after it was ended', async () => {
    const file = join(await temporaryDirectory(), 'a.tar.zst')
    await endedInTheMiddle(file)
    expect(await failure(Archive.open(file))).toBe('NotFound')
    const { resumed } = await writeArchive(file, whole, inParts)
    expect(resumed).toBeGreaterThan(1024 * 1024)
    await readBack(file)
    expect((await readdir(join(file, '..'))).filter((name) => /partial|unfinished/.test(name))).toEqual([])
  })

  it('of the same size and other content does not go on with the parts', async () => {
    const file = join(await temporaryDirectory(), 'a.tar')
    await endedInTheMiddle(file)
    const other = bytes(new TextDecoder().decode(await collect(index.open({}))).replace('"1"', '"2"'))
    expect((await writeArchive(file, [marker, entry('index.json', other), ...whole.slice(2)], inParts)).resumed).toBe(0)
    const archive = await Archive.open(file)
    expect(await archive.tags()).toEqual(['2'])
    await archive.close()
  })

  it('whose part was changed after it was ended starts there again', async () => {
    const file = join(await temporaryDirectory(), 'a.tar')
    await endedInTheMiddle(file)
    await appendFile(`${file}.part0001`, 'x')
    expect((await writeArchive(file, whole, inParts)).resumed).toBe(0)
    await readBack(file)
  })
})

describe('a bad archive is refused by name', () => {
  it.each(['a.tar', 'a.tar.zst'])('%s truncated anywhere', async (name) => {
    const file = await fileOf(whole, name)
    const { length } = await readFile(file)
    for (const size of [length - 1, length - 600, length - 100_000, 1000, 513, 300, 1, 0]) {
      await truncate(file, size)
      // Then only the padding lacks, or the table of frames: all content is there.
      if (size === length - 1) continue
      expect(await failure(Archive.open(file)), `${size}`).toMatch(/InvalidArchive|Storage|NotFound/)
    }
  })

  it('with a part that is missing, changed, or not its own', async () => {
    const file = await fileOf(whole, 'a.tar', { partBytes: 4 * 1024 * 1024 })
    const list = await readFile(`${file}.sha256`, 'utf8')
    await writeFile(`${file}.sha256`, list.replace('a.tar.part0002', '../../etc/passwd'))
    expect(await failure(Archive.open(file))).toBe('InvalidArchive')
    await writeFile(`${file}.sha256`, list)
    const part = await readFile(`${file}.part0002`)
    part[1000] = (part[1000] ?? 0) ^ 1
    await writeFile(`${file}.part0002`, part)
    await expect(Archive.open(file)).rejects.toThrow(/part0002/)
    await rm(`${file}.part0002`)
    expect(await failure(Archive.open(file))).toBe('NotFound')
  })

  it.each(['../escape', '/etc/passwd', 'blobs/../../x', './../x'])('with the name %s', async (name) => {
    expect(await failure(Archive.open(await withHeader(header(name))))).toBe('InvalidArchive')
  })

  it.each(['1', '2', '3', '4', '6', 'S'])('with an entry of type %s: links, devices, pipes, sparse files', async (type) => {
    expect(await failure(Archive.open(await withHeader(header('blobs/sha256/x', (made) => made.write(type, 156)))))).toBe('InvalidArchive')
  })

  it('with a wrong checksum, a negative or absurd size, or the same blob twice', async () => {
    const broken = header('x')
    broken[0] = 0x79
    expect(await failure(Archive.open(await withHeader(broken)))).toBe('InvalidArchive')
    for (const size of ['-0000000001\0', '77777777777\0', 'xxxxxxxxxxx\0']) {
      expect(await failure(Archive.open(await withHeader(header('x', (made) => made.write(size, 124)))))).toBe('InvalidArchive')
    }
    const twice = join(await temporaryDirectory(), 'twice.tar')
    const one = Buffer.concat([header('index.json'), header('index.json'), Buffer.alloc(1024)])
    await writeFile(twice, one)
    expect(await failure(Archive.open(twice))).toBe('InvalidArchive')
  })

  it('with content of another digest or size', async () => {
    const other = new Uint8Array(layer)
    other[5] = (other[5] ?? 0) ^ 1
    const lying = await Archive.open(await fileOf([...whole.slice(0, 3), entry(pathOf(blob.digest), other)]))
    expect(await failure(collect(lying.blob(blob)))).toBe('DigestMismatch')
    await lying.close()
    const short = await Archive.open(await fileOf([...whole.slice(0, 3), entry(pathOf(blob.digest), layer.subarray(1))]))
    expect(await failure(collect(short.blob(blob)))).toBe('SizeMismatch')
    await short.close()
  })

  it('with an index of 100,000 manifests, or a manifest of many MB, without reading it', async () => {
    const manifests = Array.from({ length: 100_000 }, () => ({ ...root, annotations: { long: 'x'.repeat(50) } }))
    const file = await fileOf([marker, entry('index.json', bytes(JSON.stringify({ schemaVersion: 2, manifests })))])
    expect(await failure(Archive.open(file))).toBe('TooLarge')
    const archive = await Archive.open(await fileOf(whole))
    expect(await failure(archive.manifest(blob.digest))).toBe('TooLarge')
    await archive.close()
  })

  it('with JSON that is damaged or nested 100,000 deep', async () => {
    for (const text of ['{', `${'['.repeat(100_000)}`, '[]', '{"manifests":[{"digest":"x"}]}', '{"manifests":5}']) {
      expect(await failure(Archive.open(await fileOf([marker, entry('index.json', bytes(text))])))).toMatch(/InvalidJson|InvalidManifest/)
    }
  })

  it('compressed so that a small file holds far more than it says', async () => {
    const file = await fileOf(whole, 'a.tar.zst')
    const packed = await readFile(file)
    // The table says that the first frame is small.
    const count = packed.readUInt32LE(packed.length - 9)
    packed.writeUInt32LE(1024, packed.length - 9 - count * 8 + 4)
    await writeFile(file, packed)
    expect(await failure(Archive.open(file))).toBe('InvalidArchive')
  })

  it('of any bytes at all', async () => {
    const directory = await temporaryDirectory()
    const file = join(directory, 'any.tar')
    const good = await readFile(await fileOf([marker, index, entry(pathOf(root.digest), manifest)]))
    const changed = fc.tuple(fc.integer({ min: 0, max: good.length - 1 }), fc.integer({ min: 0, max: 255 }))
    await fc.assert(
      fc.asyncProperty(fc.array(changed, { minLength: 1, maxLength: 5 }), async (changes) => {
        const bad = Buffer.from(good)
        for (const [at, byte] of changes) bad[at] = byte
        await writeFile(file, bad)
        try {
          const archive = await Archive.open(file)
          await archive.resolve('1').finally(() => archive.close())
        } catch (error) {
          expect(error).toBeInstanceOf(OciError)
        }
      }),
      { numRuns: 60 },
    )
  })
})
