import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { BundleError } from './errors.ts'
import { limits } from './limits.ts'
import { type OddEntry, tarOf, tgzOf } from './testing.ts'
import { unpack } from './unpack.ts'

vi.setConfig({ testTimeout: 60_000 })

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-unpack-'))
})
afterEach(() => rm(dir, { recursive: true }))

describe('unpacking', () => {
  it('gives the files of a tar, gzipped or not, with long names', async () => {
    const long = `app/${'a'.repeat(120)}.yaml`
    const archive = [
      { path: 'app/', type: '5' },
      { path: 'app/Chart.yaml', content: 'name: app' },
      { path: '././@LongLink', content: `${long}\0`, type: 'L' },
      { path: 'cut', content: 'long' },
    ]
    expect(await unpack(tgzOf(archive), dir, 'app.tgz')).toEqual(['app/Chart.yaml', long])
    expect(await readFile(join(dir, long), 'utf8')).toBe('long')
    const pax = [
      { path: 'PaxHeader', content: '20 path=app/pax.yaml\n', type: 'x' },
      { path: 'x', content: 'pax' },
    ]
    expect(await unpack(tarOf(pax), dir, 'app.tar')).toEqual(['app/pax.yaml'])
  })

  it.each<[string, OddEntry]>([
    ['a path with ..', { path: 'app/../../evil' }],
    ['an absolute path', { path: '/etc/evil' }],
    ['a folder that leaves', { path: '../evil/', type: '5' }],
    ['a path with a backslash', { path: 'app\\..\\evil' }],
    ['a symbolic link', { path: 'app/link', type: '2' }],
    ['a hard link', { path: 'app/link', type: '1' }],
    ['a device', { path: 'app/device', type: '3' }],
    ['a file that is there already', { path: 'app/Chart.yaml' }],
    ['a file that is longer than the archive', { path: 'app/a', size: 10_000_000 }],
  ])('refuses %s, by name', async (_what, entry) => {
    const archive = tgzOf([{ path: 'app/Chart.yaml', content: 'x' }, entry])
    await expect(unpack(archive, dir, 'app.tgz')).rejects.toMatchObject({
      code: 'ArchiveUnsafe',
      message: expect.stringContaining('app.tgz'),
    })
    for (const file of await readdir(dir, { recursive: true })) expect(['app', 'app/Chart.yaml']).toContain(file)
  })

  it('refuses what swells without end, before it is in memory', async () => {
    const bomb = gzipSync(Buffer.alloc(limits.unpackedBytes + 30 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(1024 * 1024)
    await expect(unpack(bomb, dir, 'bomb.tgz')).rejects.toMatchObject({ code: 'TooLarge' })
    const many = Array.from({ length: limits.unpackedFiles + 1 }, (_, at) => ({ path: `f/${at}` }))
    await expect(unpack(tgzOf(many), dir, 'many.tgz')).rejects.toMatchObject({ code: 'TooLarge' })
    await expect(unpack(new Uint8Array(limits.packedBytes + 1), dir, 'large.tgz')).rejects.toMatchObject({ code: 'TooLarge' })
  })

  it('never writes beside its folder, whatever bytes come', async () => {
    const entry = fc.record({
      path: fc.string({ unit: fc.constantFrom('.', '/', 'a', '\\', '\u0000'), minLength: 1, maxLength: 12 }),
      type: fc.constantFrom('0', '1', '2', '5', 'L', 'x', 'g'),
      content: fc.string({ maxLength: 20 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 4 }), fc.nat(), async (entries, flip) => {
        const inside = join(await mkdtemp(join(dir, 'case-')), 'a', 'b')
        const bytes = Buffer.from(tarOf(entries))
        if (flip % 3 === 0) bytes[flip % bytes.length] = flip % 256
        const outcome: unknown = await unpack(bytes, inside, 'odd.tar').catch((error: unknown) => error)
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(BundleError)
        else expect((outcome as string[]).every((path) => path !== '' && join(inside, path).startsWith(`${inside}/`))).toBe(true)
        const above = await readdir(join(inside, '../..'), { recursive: true })
        expect(above.every((path) => path === 'a' || path === 'a/b' || path.startsWith('a/b/'))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
