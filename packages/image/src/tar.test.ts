import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { unpackTar } from 'modern-tar'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arrange, bytesContent, fileContent, type LayerEntry } from './entry.ts'
import { writeTar } from './tar.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-tar-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

async function pack(entries: Iterable<LayerEntry>, mtime = 0): Promise<Buffer> {
  return buffer(writeTar(arrange(entries), mtime))
}

const segment = fc
  .string({ unit: fc.constantFrom(...'abcdefgxyz0123456789._- äß漢🙂'), minLength: 1, maxLength: 120 })
  .filter((name) => name !== '.' && name !== '..' && Buffer.byteLength(name) <= 255)
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((segments) => segments.join('/'))
const entry: fc.Arbitrary<LayerEntry> = fc.oneof(
  fc.record({ path, data: fc.uint8Array({ maxLength: 1500 }), executable: fc.boolean() }).map(
    (file): LayerEntry => ({
      kind: 'file',
      path: file.path,
      mode: file.executable ? 0o755 : 0o644,
      content: bytesContent(file.data),
    }),
  ),
  fc.record({ path, target: path }).map((link): LayerEntry => ({ kind: 'symlink', ...link })),
  path.map((folder): LayerEntry => ({ kind: 'directory', path: folder, mode: 0o755 })),
)
const tree = fc.array(entry, { maxLength: 12 }).filter((entries) => {
  try {
    arrange(entries)
    return true
  } catch {
    return false // a file where another entry needs a folder
  }
})

describe('a layer as tar', () => {
  it('is read back by another tar reader as it was written, with long and non-ASCII names', async () => {
    await fc.assert(
      fc.asyncProperty(tree, async (entries) => {
        const expected = arrange(entries)
        const read = await unpackTar(await pack(entries), { strict: true })
        expect(read.map(({ header }) => header.name.replace(/\/$/, ''))).toEqual(expected.map((item) => item.path))
        for (const [index, item] of expected.entries()) {
          const header = read[index]?.header
          expect(header?.type).toBe(item.kind)
          expect(header?.uid).toBe(0)
          if (item.kind === 'symlink') expect(header?.linkname).toBe(item.target)
          if (item.kind === 'file') {
            expect(header?.mode).toBe(item.mode)
            expect(Buffer.from(read[index]?.data ?? [])).toEqual(Buffer.from('bytes' in item.content ? item.content.bytes : []))
          }
        }
      }),
      { numRuns: 150, seed: 20_260 },
    )
  })

  it('is the same bytes whatever the order in which entries came', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(path, { minLength: 2, maxLength: 8 }), async (paths) => {
        const links = paths.map((name): LayerEntry => ({ kind: 'symlink', path: `${name}.l`, target: 'x' }))
        expect((await pack(links)).equals(await pack(links.toReversed()))).toBe(true)
      }),
      { numRuns: 50, seed: 20_261 },
    )
  })

  it('is understood by the tar command, names of every length around the limits of the format', async () => {
    const names = [1, 99, 100, 101, 155, 156, 200, 254, 255].map((length) => 'n'.repeat(length))
    const deep = Array.from({ length: 6 }, (_, index) => String(index).repeat(60)).join('/')
    const entries = [
      ...names,
      ...names.slice(0, 3).map((name) => `${deep}/${name}`),
      `${'d'.repeat(155)}/${'f'.repeat(100)}`,
      'ümläut/漢字',
    ].map((name): LayerEntry => ({ kind: 'file', path: name, mode: 0o644, content: bytesContent(name) }))
    const file = join(dir, 'names.tar')
    await writeFile(file, await pack(entries))
    const listed = execFileSync('tar', ['--list', '--quoting-style=literal', '--file', file], {
      encoding: 'utf8',
      env: { LC_ALL: 'C.UTF-8', PATH: '/usr/bin:/bin' },
    })
    expect(
      listed
        .trimEnd()
        .split('\n')
        .filter((name) => !name.endsWith('/')),
    ).toEqual(
      arrange(entries)
        .filter(({ kind }) => kind === 'file')
        .map((item) => item.path),
    )
  })

  it('carries one time for all entries, and nothing of the machine', async () => {
    const [entryRead] = await unpackTar(await pack([{ kind: 'file', path: 'a', mode: 0o644, content: bytesContent('x') }], 1_700_000_000))
    expect(entryRead?.header.mtime?.getTime()).toBe(1_700_000_000_000)
    expect(entryRead?.header).toMatchObject({ uid: 0, gid: 0, uname: '', gname: '' })
  })

  it('is not finished with a file that changed after it was looked at', async () => {
    const file = join(dir, 'changing')
    await writeFile(file, 'before')
    const content = await fileContent(file)
    for (const changed of ['after!', 'longer than before', 'b']) {
      await writeFile(file, changed)
      await expect(pack([{ kind: 'file', path: 'a', mode: 0o644, content }])).rejects.toMatchObject({
        code: 'SourceChanged',
        transient: true,
      })
    }
  })
})

describe('the entries of a layer', () => {
  it('get the folders they lie in, /tmp open to all', () => {
    const arranged = arrange([{ kind: 'file', path: 'tmp/a/b', mode: 0o644, content: bytesContent('') }])
    expect(arranged.map((item) => item.path)).toEqual(['tmp', 'tmp/a', 'tmp/a/b'])
    expect(arranged[0]).toMatchObject({ kind: 'directory', mode: 0o1777 })
  })

  it.each(['', '.', '/abs', '../up', 'a/../b', 'a//b', 'a/', 'nul\0'])('refuse the path %j', (bad) => {
    expect(() => arrange([{ kind: 'directory', path: bad, mode: 0o755 }])).toThrow(expect.objectContaining({ code: 'RecipeInvalid' }))
  })

  it('refuse a file inside of a file', () => {
    const content = bytesContent('')
    const entries: LayerEntry[] = [
      { kind: 'file', path: 'a', mode: 0o644, content },
      { kind: 'file', path: 'a/b', mode: 0o644, content },
    ]
    expect(() => arrange(entries)).toThrow(/\/a is a file/)
  })
})
