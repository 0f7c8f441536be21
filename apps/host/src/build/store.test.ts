import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BuildStore } from './store.ts'

const signal = new AbortController().signal
const key = 'a'.repeat(64)
let store: BuildStore
beforeEach(async () => {
  store = new BuildStore(await mkdtemp(join(tmpdir(), 'muster-store-')))
})
afterEach(async () => {
  await rm(store.root, { recursive: true, force: true })
})
const make = (content = 'binary') => store.make('kube', key, signal, (dir) => writeFile(join(dir, 'kube'), content))

describe('the store of builds', () => {
  it('gives back what was made, by its key only', async () => {
    const made = await make()
    expect(await store.find('kube', key, signal)).toEqual(made)
    expect(await store.find('kube', 'b'.repeat(64), signal)).toBeUndefined()
    // The same start, another key.
    expect(await store.find('kube', `${'a'.repeat(63)}b`, signal)).toBeUndefined()
  })

  it('does not believe a file that was changed, cut short or removed', async () => {
    const { dir } = await make()
    for (const content of ['bimary', 'bin', undefined]) {
      if (content === undefined) await rm(join(dir, 'kube'))
      else await writeFile(join(dir, 'kube'), content)
      expect(await store.find('kube', key, signal)).toBeUndefined()
    }
    await make('again')
    expect(await readFile(join(dir, 'kube'), 'utf8')).toBe('again')
  })

  it('keeps nothing of a build that failed', async () => {
    await expect(
      store.make('kube', key, signal, async (dir) => {
        await writeFile(join(dir, 'kube'), 'half')
        throw new Error('compiler')
      }),
    ).rejects.toThrow('compiler')
    expect(await store.find('kube', key, signal)).toBeUndefined()
    expect(await readdir(join(store.root, 'tmp'))).toEqual([])
  })
})
