import { describe, expect, it } from 'vitest'
import { evaluateRequirements, type HostFacts, kernelFeatures, neededCommands, unmet } from './requirements.ts'

const good: HostFacts = {
  platform: 'linux',
  arch: 'x64',
  kernel: '6.18.44',
  uid: 0,
  commands: Object.fromEntries(neededCommands.map(({ command }) => [command, `/usr/bin/${command}`])),
  go: { version: 'go1.26.8' },
  kernelFeatures: Object.fromEntries(kernelFeatures.map((feature) => [feature, true])),
  cgroupVersion: 'v1',
  diskFree: 20 * 1024 ** 3,
  memoryAvailable: 16 * 1024 ** 3,
  debianKeyring: true,
  built: false,
  packageManager: 'apt',
}
const failing = (facts: Partial<HostFacts>): string[] => unmet(evaluateRequirements({ ...good, ...facts })).map(({ id }) => id)
const find = (facts: Partial<HostFacts>, id: string) => evaluateRequirements({ ...good, ...facts }).find((each) => each.id === id)

describe('the requirements on a host', () => {
  it('are all met by a machine that has everything, with nothing left to do', () => {
    expect(evaluateRequirements(good).filter(({ ok, fix }) => !ok || fix !== '')).toEqual([])
  })

  it('name what is missing and what to do about it', () => {
    expect(failing({ uid: 1000 })).toEqual(['root'])
    expect(failing({ platform: 'darwin' })).toEqual(['platform'])
    expect(failing({ arch: 'riscv64' })).toEqual(['platform'])
    expect(failing({ debianKeyring: false })).toEqual(['debian-keyring'])
    for (const each of evaluateRequirements({ ...good, commands: {}, uid: 1, diskFree: 0 }))
      expect(each.ok || each.fix.length > 10).toBe(true)
  })

  it('ask for Go 1.26: an older one, none and a failing one are not enough, a newer one is', () => {
    expect(failing({ go: { version: 'go1.19.8' } })).toEqual(['go'])
    expect(failing({ go: { problem: 'not found' } })).toEqual(['go'])
    expect(failing({ go: { version: 'devel +abc' } })).toEqual(['go'])
    expect(failing({ go: { version: 'go1.27rc1' } })).toEqual([])
    expect(failing({ go: { version: 'go2.0' } })).toEqual([])
  })

  it('name the package by the host’s own package manager', () => {
    const commands = { ...good.commands, ip: undefined }
    expect(find({ commands }, 'command/ip')?.packages).toEqual(['iproute2'])
    expect(find({ commands, packageManager: 'dnf' }, 'command/ip')?.packages).toEqual(['iproute'])
    expect(find({ commands, packageManager: undefined }, 'command/ip')?.packages).toBeUndefined()
  })

  it('tell a kernel feature that failed from one that could not be tried', () => {
    const broken = { ...good.kernelFeatures, erofs: 'unknown filesystem type' }
    expect(failing({ kernelFeatures: broken })).toEqual(['kernel/erofs'])
    expect(find({ kernelFeatures: broken }, 'kernel/erofs')?.found).toContain('unknown filesystem type')
    expect(failing({ kernelFeatures: {} })).toEqual([])
    expect(find({ kernelFeatures: {} }, 'kernel/erofs')).toMatchObject({ ok: false, warning: true })
  })

  it('take both versions of control groups, and none not', () => {
    expect(failing({ cgroupVersion: 'v2' })).toEqual([])
    const kernel = { ...good.kernelFeatures, cgroups: 'no control groups under /sys/fs/cgroup' }
    expect(failing({ cgroupVersion: undefined, kernelFeatures: kernel })).toEqual(['kernel/cgroups'])
  })

  it('refuse too little disk, less of it once everything is built, and only warn of little memory', () => {
    expect(failing({ diskFree: 5 * 1024 ** 3 })).toEqual(['disk'])
    expect(failing({ diskFree: 5 * 1024 ** 3, built: true })).toEqual([])
    expect(failing({ memoryAvailable: 2 * 1024 ** 3 })).toEqual([])
    expect(find({ memoryAvailable: 2 * 1024 ** 3 }, 'memory')).toMatchObject({ ok: false, warning: true })
  })
})
