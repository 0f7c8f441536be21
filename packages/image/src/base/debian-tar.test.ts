import fc from 'fast-check'
import { packTar } from 'modern-tar'
import { describe, expect, it } from 'vitest'
import { ImageError } from '../errors.ts'
import { readDebianTar } from './debian-tar.ts'

describe('a Debian package', () => {
  it('is merged into /usr, its hard links files, its modes fixed', async () => {
    const tar = await packTar([
      { header: { name: './', type: 'directory', size: 0 } },
      { header: { name: './lib/x86_64-linux-gnu/', type: 'directory', size: 0 } },
      { header: { name: './lib/x86_64-linux-gnu/libc.so.6', size: 4, mode: 0o4755 }, body: 'libc' },
      { header: { name: './lib/x86_64-linux-gnu/libc-2.so', type: 'link', size: 0, linkname: './lib/x86_64-linux-gnu/libc.so.6' } },
      { header: { name: './lib64/ld.so', type: 'symlink', size: 0, linkname: '/lib/x86_64-linux-gnu/ld.so' } },
      { header: { name: './etc/library.conf', size: 1, mode: 0o640 }, body: 'x' },
    ])
    const entries = await readDebianTar(tar)
    expect(entries.map((entry) => [entry.kind, entry.path, entry.kind === 'symlink' ? entry.target : entry.mode])).toEqual([
      ['directory', 'usr/lib/x86_64-linux-gnu', 0o755],
      ['file', 'usr/lib/x86_64-linux-gnu/libc.so.6', 0o755],
      ['file', 'usr/lib/x86_64-linux-gnu/libc-2.so', 0o755],
      ['symlink', 'usr/lib64/ld.so', '/lib/x86_64-linux-gnu/ld.so'],
      ['file', 'etc/library.conf', 0o644],
    ])
  })

  it('with a path outside of the root is not taken', async () => {
    const tar = await packTar([{ header: { name: './usr/../../etc/shadow', size: 1 }, body: 'x' }])
    await expect(readDebianTar(tar)).rejects.toMatchObject({ code: 'BuildFailed' })
  })

  it('of any bytes is read or refused, never anything else', async () => {
    const whole = await packTar([{ header: { name: './usr/lib/a', size: 3 }, body: 'abc' }])
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 600 }), fc.integer({ min: 0, max: 255 }), async (at, value) => {
        const damaged = Uint8Array.from(whole)
        damaged[at] = value
        const result: unknown = await readDebianTar(damaged).catch((thrown: unknown) => thrown)
        expect(Array.isArray(result) || result instanceof ImageError).toBe(true)
      }),
      { numRuns: 200, seed: 5 },
    )
  })
})
