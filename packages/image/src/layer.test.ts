import { createHash } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { bytesContent, type LayerEntry } from './entry.ts'
import { gzip } from './gzip.ts'
import { makeLayer } from './layer.ts'

let cacheDir: string
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'muster-layer-'))
})
afterEach(() => rm(cacheDir, { recursive: true, force: true }))

const entries: LayerEntry[] = [{ kind: 'file', path: 'app/hello', mode: 0o755, content: bytesContent('hello\n'.repeat(10_000)) }]
const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

describe('a layer', () => {
  it('has the digest of its bytes and the diffID of what they unpack to', async () => {
    const layer = await makeLayer(entries, { cacheDir, mtime: 0, title: 'app' })
    const bytes = await buffer(layer.open())
    expect(sha256(bytes)).toBe(layer.descriptor.digest)
    expect(bytes.length).toBe(layer.descriptor.size)
    expect(sha256(gunzipSync(bytes))).toBe(layer.diffId)
    expect(gunzipSync(bytes).length).toBe(layer.tarSize)
  })

  it('is the same from an empty cache', async () => {
    const first = await makeLayer(entries, { cacheDir, mtime: 0, title: 'app' })
    const second = await makeLayer(entries, { cacheDir: join(cacheDir, 'other'), mtime: 0, title: 'app' })
    expect(second.descriptor).toEqual(first.descriptor)
  })

  it('is another when a byte, a mode or the time is another', async () => {
    const [entry] = entries
    if (entry?.kind !== 'file') throw new Error('no file')
    const digests = await Promise.all([
      makeLayer(entries, { cacheDir, mtime: 0, title: 'app' }),
      makeLayer(entries, { cacheDir, mtime: 1, title: 'app' }),
      makeLayer([{ ...entry, mode: 0o644 }], { cacheDir, mtime: 0, title: 'app' }),
      makeLayer([{ ...entry, content: bytesContent('other') }], { cacheDir, mtime: 0, title: 'app' }),
    ])
    expect(new Set(digests.map(({ descriptor }) => descriptor.digest)).size).toBe(4)
  })

  it('is made by many at once without a trace of the others', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => makeLayer(entries, { cacheDir, mtime: 0, title: 'app' })))
    expect(new Set(made.map(({ descriptor }) => descriptor.digest)).size).toBe(1)
    expect(await readdir(join(cacheDir, 'layers'))).toHaveLength(2)
  })

  it('is made again when the cache lost half of it', async () => {
    const first = await makeLayer(entries, { cacheDir, mtime: 0, title: 'app' })
    const name = (await readdir(join(cacheDir, 'layers'))).find((file) => file.endsWith('.gz')) ?? ''
    await writeFile(join(cacheDir, 'layers', name), 'half')
    const second = await makeLayer(entries, { cacheDir, mtime: 0, title: 'app' })
    expect(sha256(await buffer(second.open()))).toBe(first.descriptor.digest)
  })

  it('leaves nothing in the cache when aborted', async () => {
    await expect(makeLayer(entries, { cacheDir, mtime: 0, title: 'app', signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await readdir(join(cacheDir, 'layers'))).toEqual([])
  })
})

describe('gzip', () => {
  it('unpacks to what went in, and its header says nothing of when and where', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 5 }), async (chunks) => {
        async function* source() {
          yield* chunks
        }
        const packed = await buffer(gzip(source()))
        expect(gunzipSync(packed)).toEqual(Buffer.concat(chunks))
        expect([...packed.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
      }),
      { numRuns: 50, seed: 1 },
    )
  })

  it('fails with the error of its source', async () => {
    async function* source() {
      yield Buffer.from('x')
      throw new Error('the disk is gone')
    }
    await expect(buffer(gzip(source()))).rejects.toThrow('the disk is gone')
  })
})
