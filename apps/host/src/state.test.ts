import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { paths } from './instance.ts'
import { readLog, rotate } from './logs.ts'
import { type Desired, freeIndex, readDesired, writeDesired } from './state.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-state-'))
})
afterEach(async () => await rm(dir, { recursive: true }))

describe('what is to be', () => {
  it('is nothing before anything was asked for', async () => {
    expect(await readDesired(dir)).toEqual({ running: false, clusters: [] })
  })

  it('is read back as it was written', async () => {
    const desired: Desired = { running: true, clusters: [{ name: 'hub', index: 0, nodes: 1 }] }
    await writeDesired(dir, desired)
    expect(await readDesired(dir)).toEqual(desired)
  })

  it('is not taken for nothing when it cannot be read', async () => {
    await writeFile(paths(dir).desired, '{"running": tru')
    await expect(readDesired(dir)).rejects.toMatchObject({ code: 'StateUnreadable' })
  })

  it('gives a new cluster the place of one that was deleted', () => {
    const clusters = [0, 2].map((index) => ({ name: `c${index}`, index, nodes: 1 }))
    expect(freeIndex({ running: true, clusters })).toBe(1)
    expect(
      freeIndex({ running: true, clusters: Array.from({ length: 16 }, (_, index) => ({ name: `c${index}`, index, nodes: 1 })) }),
    ).toBeUndefined()
  })
})

describe('a log', () => {
  it('is kept to its size, with the part before it', async () => {
    const file = join(dir, 'a.log')
    await writeFile(file, 'x'.repeat(100))
    await rotate(file, 99)
    const read = async (path: string) => {
      const parts: string[] = []
      for await (const chunk of readLog(path, { tailBytes: 1000, follow: false, signal: new AbortController().signal }))
        parts.push(chunk.toString())
      return parts.join('')
    }
    expect(await read(file)).toBe('')
    expect(await read(`${file}.1`)).toBe('x'.repeat(100))
  })

  it('is followed through its rotation until nobody listens', async () => {
    const file = join(dir, 'a.log')
    await writeFile(file, 'before 1\n')
    const stop = new AbortController()
    const lines: string[] = []
    for await (const chunk of readLog(file, { tailBytes: 1000, follow: true, signal: stop.signal })) {
      lines.push(chunk.toString())
      if (lines.length === 1) {
        await rotate(file, 1)
        await writeFile(file, 'after\n')
      } else stop.abort()
    }
    expect(lines).toEqual(['before 1\n', 'after\n'])
  })
})
