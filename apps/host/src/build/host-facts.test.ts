import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { gatherFacts } from './host-facts.ts'
import { evaluateRequirements, kernelFeatures } from './requirements.ts'

const repoDir = join(import.meta.dirname, '../../../..')
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-facts-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})
const gather = (signal = new AbortController().signal, path = `${dir}:/usr/bin:/bin`) =>
  gatherFacts({
    repoDir,
    cacheDir: join(dir, 'none', 'cache'),
    stateDir: join(dir, 'none', 'state'),
    env: { PATH: path, HOME: dir },
    signal,
  })

describe('looking at this machine', () => {
  it('finds commands on the path, and does not take what cannot be run', async () => {
    await writeFile(join(dir, 'nft'), '', { mode: 0o755 })
    await writeFile(join(dir, 'flock'), '', { mode: 0o644 })
    const { commands } = await gather()
    expect(commands['nft']).toBe(join(dir, 'nft'))
    expect(commands['flock']).not.toBe(join(dir, 'flock'))
  })

  it('gives facts that every requirement can be read from, and leaves nothing where it tried', async () => {
    const facts = await gather()
    expect(facts.built).toBe(false)
    expect(facts.diskFree).toBeGreaterThan(0)
    expect(facts.memoryAvailable).toBeGreaterThan(0)
    const ids = evaluateRequirements(facts).map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining(['root', 'go', 'command/ip', ...kernelFeatures.map((each) => `kernel/${each}`), 'disk']))
    expect(await readdir(dir)).toEqual([])
  })

  it('says that Go is not there, or why it does not work', async () => {
    await writeFile(join(dir, 'go'), '#!/bin/sh\necho "go: no such toolchain" >&2\nexit 1\n', { mode: 0o755 })
    expect((await gather()).go).toEqual({ problem: expect.stringContaining('no such toolchain') })
  })
})
