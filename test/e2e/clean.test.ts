import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { ensureDaemon, type HostClient, type HostConfig, takeDown } from '@muster/host'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkout, eventually, instanceOf } from '../environment/command.ts'
import { sharedInstance } from '../environment/instance.ts'
import { leftovers } from '../environment/leftovers.ts'
import { countFrom, pick, randomFrom } from '../environment/random.ts'

const shared = sharedInstance()
const seed = countFrom('MUSTER_TEST_SEED', 4)
const cycles = countFrom('MUSTER_TEST_CYCLES', 3)
const aborted = countFrom('MUSTER_TEST_ABORTED', 2)

describe('"down"', () => {
  const instance = instanceOf(`${shared.id}c`, path.join(tmpdir(), `muster-${shared.id}c`))
  const random = randomFrom(seed)

  afterAll(async () => {
    await instance.muster('down', '--purge')
  })

  for (let round = 1; round <= aborted; round += 1) {
    it(`leaves nothing of an "up" that was killed half-way (${round})`, async () => {
      const lines = 3 + Math.floor(random() * 9)
      const extraMs = Math.floor(random() * 2000)
      console.log(`seed ${seed}: "up" is killed ${extraMs} ms after line ${lines}`)
      await killedUp(lines, extraMs)
      if (random() < 0.5) {
        const daemon = await readFile(path.join(instance.state, 'run', 'daemon.json'), 'utf8').catch(() => undefined)
        if (daemon !== undefined) process.kill((JSON.parse(daemon) as { pid: number }).pid, 'SIGKILL')
      }
      await instance.succeed('down')
      expect(await leftovers(instance.id, instance.state)).toEqual([])
    })
  }

  it('leaves nothing either when there is nothing', async () => {
    await instance.succeed('down', '--purge')
    await instance.succeed('down', '--purge')
    expect(await leftovers(instance.id, instance.state)).toEqual([])
  })

  /** Starts "up" and kills it, with nothing but SIGKILL, a while after it said so many lines. */
  async function killedUp(lines: number, extraMs: number): Promise<void> {
    const child = spawn(path.join(checkout, 'muster'), ['up', '--no-example'], {
      cwd: checkout,
      env: { ...process.env, MUSTER_INSTANCE: instance.id, MUSTER_STATE: instance.state, NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.resume()
    const ended = once(child, 'close')
    let said = 0
    for await (const line of createInterface({ input: child.stderr })) {
      if (line !== '') said += 1
      if (said >= lines) break
    }
    child.stderr.resume()
    await Promise.race([pause(extraMs), ended])
    child.kill('SIGKILL')
    await ended
  }
})

describe('clusters that come and go', () => {
  const id = `${shared.id}d`
  const state = path.join(tmpdir(), `muster-${id}`)
  const victims = ['one/etcd', 'one/kube-apiserver', 'one-1/init', 'one-1/containerd', 'one-1/kubelet'] as const
  const random = randomFrom(seed)
  let host: HostClient

  beforeAll(async () => {
    const desired = JSON.parse(await readFile(path.join(shared.state, 'host.json'), 'utf8')) as { config: HostConfig }
    // Without DNS, which would come from a registry that is empty here.
    const { binaries, nodeImage, pause: sandbox } = desired.config
    host = await ensureDaemon({ instance: id, state })
    await host.start({ binaries, nodeImage, pause: sandbox })
  })

  afterAll(async () => {
    await takeDown({ instance: id, state, purge: true })
  })

  it(`leave nothing in the kernel and no file descriptor in the daemon, ${cycles} times, with a process killed just before`, async () => {
    const resting = await ofClusters()
    let descriptors = await openDescriptors()
    for (let cycle = 1; cycle <= cycles; cycle += 1) {
      await host.createCluster({ name: 'one' })
      const victim = pick(random, victims)
      console.log(`seed ${seed}: cycle ${cycle} kills ${victim}`)
      process.kill(await pidOf(victim), 'SIGKILL')
      await host.deleteCluster('one')
      expect(await ofClusters(), `after cycle ${cycle}, in which ${victim} was killed`).toEqual(resting)
      if (cycle === 1) {
        // What is opened once, such as the entropy device, is no leak.
        descriptors = Math.max(descriptors, await settledDescriptors())
      } else await expectAtMost(descriptors)
    }
  })

  it('leave nothing at all when the daemon is killed and the instance taken down', async () => {
    await host.createCluster({ name: 'one' })
    process.kill((await host.status()).pid, 'SIGKILL')
    process.kill(await pidOf('one-1/containerd'), 'SIGKILL')
    await takeDown({ instance: id, state })
    expect(await leftovers(id, state)).toEqual([])
  })

  /** All that there is, save the group of the instance itself: the container runtime makes it in one more tree with the first cluster. */
  async function ofClusters(): Promise<string[]> {
    return (await leftovers(id, state)).filter((line) => !line.endsWith(`/muster-${id}`))
  }

  async function pidOf(component: string): Promise<number> {
    const { pid } = JSON.parse(await readFile(path.join(state, 'run', `${component}.json`), 'utf8')) as { pid: number }
    return pid
  }

  async function openDescriptors(): Promise<number> {
    return (await readdir(`/proc/${(await host.status()).pid}/fd`)).length
  }

  /** Connections close a moment after their cluster is gone. */
  async function settledDescriptors(): Promise<number> {
    let before = await openDescriptors()
    return eventually(
      async () => {
        await pause(500)
        const now = await openDescriptors()
        const settled = now === before
        before = now
        return settled ? now : undefined
      },
      { withinMs: 20_000, what: 'the number of open files settles' },
    )
  }

  async function expectAtMost(limit: number): Promise<void> {
    await eventually(async () => ((await openDescriptors()) <= limit ? true : undefined), {
      withinMs: 20_000,
      everyMs: 500,
      what: `the daemon has no more than ${limit} open files`,
    })
  }
})
