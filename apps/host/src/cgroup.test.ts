import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Cgroups, cgroupLayout } from './cgroup.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'muster-cgroup-'))
})
afterEach(async () => await rm(root, { recursive: true }))

describe('control groups', () => {
  it('are found as v1 with one tree for each controller, also beside an empty v2 tree', () => {
    const mounts =
      'tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /c/cpu cgroup rw,cpu 0 0\ncgroup /c/memory cgroup rw,memory 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n'
    expect(cgroupLayout(mounts)).toEqual({ version: 1, roots: ['/c/cpu', '/c/memory'], unified: '/c/unified' })
  })

  it('are found as v2 with one tree', () => {
    expect(cgroupLayout('cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n')).toEqual({ version: 2, root: '/sys/fs/cgroup' })
  })

  it('say so when the machine has none', () => {
    expect(() => cgroupLayout('proc /proc proc rw 0 0\n')).toThrow(expect.objectContaining({ code: 'NotReady' }))
  })

  it('of v2 pass their controllers on to each level, so that a pod can be limited', async () => {
    await writeFile(join(root, 'cgroup.controllers'), 'cpu memory\n')
    await mkdir(join(root, 'muster-a'))
    await writeFile(join(root, 'muster-a', 'cgroup.controllers'), 'cpu memory\n')
    const groups = new Cgroups({ version: 2, root })
    await groups.ensure('muster-a/hub-1')
    expect(await readdir(join(root, 'muster-a'))).toContain('hub-1')
    expect(await readFile(join(root, 'muster-a', 'cgroup.subtree_control'), 'utf8')).toBe('+memory')
    expect(groups.joinFiles('muster-a/hub-1')).toEqual([join(root, 'muster-a/hub-1/cgroup.procs')])
  })
})
