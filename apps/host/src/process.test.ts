import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { identify, isAlive, signalTo } from './proc.ts'
import { type Command, Component, type ComponentGroups, type ComponentSpec } from './process.ts'

const never = new AbortController().signal
let dir: string
let started: Component[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'muster-process-'))
  started = []
})
afterEach(async () => {
  await Promise.all(started.map((component) => component.stop()))
  await rm(dir, { recursive: true })
})

/** Stands in for control groups, which take root: the group of a component holds what its record names. */
const groups: ComponentGroups = {
  ensure: async () => undefined,
  joinFiles: () => [],
  pids: async () => {
    const record = await readFile(join(dir, 'record.json'), 'utf8').catch(() => undefined)
    const pid = record === undefined ? undefined : Number(JSON.parse(record).pid)
    return pid !== undefined && (await identify(pid)) !== undefined ? [pid] : []
  },
}

function component(command: Command, rest: Partial<ComponentSpec> = {}): Component {
  const made = new Component(
    {
      name: 'test',
      cgroup: 'test',
      logFile: join(dir, 'test.log'),
      recordFile: join(dir, 'record.json'),
      command: async () => command,
      probe: async () => undefined,
      readyTimeoutMs: 10_000,
      stopTimeoutMs: 10_000,
      ...rest,
    },
    groups,
    () => undefined,
  )
  started.push(made)
  return made
}

const sleeper: Command = { file: '/bin/sleep', args: ['1000'] }

async function until(what: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await what())) {
    if (Date.now() > deadline) throw new Error('did not happen within 10 s')
    await delay(10)
  }
}

async function pidOf(owner: Component): Promise<number> {
  const pid = await owner.pid()
  if (pid === undefined) throw new Error('it does not run')
  return pid
}

describe('a supervised component', () => {
  it('is started again when it is killed', async () => {
    const kept = component(sleeper)
    kept.start()
    await kept.whenReady(never)
    const first = await pidOf(kept)
    signalTo(first, 'SIGKILL')
    await until(async () => (await kept.pid()) !== first && kept.state === 'ready')
    expect(await kept.status()).toMatchObject({ state: 'ready', restarts: 1 })
  })

  it('is not waited for longer than it may be away, however often it ends', async () => {
    const kept = component({ file: '/bin/false', args: [] }, { longestPauseMs: 5 })
    kept.start()
    // With pauses that double from a quarter of a second, ten would take more than a minute.
    await until(async () => (await kept.status()).restarts >= 10)
  })

  it('is taken over, not started twice, by the daemon after one that was killed', async () => {
    const before = component(sleeper)
    before.start()
    await before.whenReady(never)
    const pid = await pidOf(before)
    await before.release()
    const after = component(sleeper)
    after.start()
    await after.whenReady(never)
    expect(await after.pid()).toBe(pid)
    signalTo(pid, 'SIGKILL')
    await until(async () => (await after.pid()) !== pid && after.state === 'ready')
  })

  it('is started anew when another command, or other certificates, are wanted', async () => {
    const before = component({ ...sleeper, fingerprint: 'old' })
    before.start()
    await before.whenReady(never)
    const pid = await pidOf(before)
    await before.release()
    const after = component({ ...sleeper, fingerprint: 'new' })
    after.start()
    await after.whenReady(never)
    expect(await after.pid()).not.toBe(pid)
    expect(await identify(pid)).toBeUndefined()
  })

  it('does not take over a stranger that has the pid of its record', async () => {
    await writeFile(
      join(dir, 'record.json'),
      JSON.stringify({ pid: process.pid, startTime: '1', bootId: 'x', hash: 'x', startedAt: new Date(0).toISOString(), restarts: 0 }),
    )
    const made = component(sleeper, { recordFile: join(dir, 'record.json') })
    const quiet: ComponentGroups = { ...groups, pids: async () => [] }
    const own = new Component(made.spec, quiet, () => undefined)
    own.start()
    await own.whenReady(never)
    expect(await own.pid()).not.toBe(process.pid)
    await own.stop()
  })

  it('is asked to end, and killed when it does not', async () => {
    const stubborn = component(
      { file: '/bin/sh', args: ['-c', 'trap "" TERM; echo up; while :; do sleep 1000; done'] },
      {
        stopTimeoutMs: 200,
        probe: async () => {
          if (!(await readFile(join(dir, 'test.log'), 'utf8')).includes('up')) throw new Error('not up')
        },
      },
    )
    stubborn.start()
    await stubborn.whenReady(never)
    const identity = await identify(await pidOf(stubborn))
    await stubborn.stop()
    expect(identity !== undefined && (await isAlive(identity))).toBe(false)
    expect(stubborn.state).toBe('stopped')
  })

  it('says why it does not run, and is tried again', async () => {
    const missing = component({ file: join(dir, 'nothing'), args: [] }, { probe: async () => Promise.reject(new Error('no answer')) })
    missing.start()
    await until(async () => (await missing.status()).restarts >= 2)
    expect((await missing.status()).message).toBeDefined()
    await expect(missing.whenReady(never, 50)).rejects.toMatchObject({ code: 'NotReady' })
  })

  it('is restarted when it does not become ready in time', async () => {
    const slow = component(sleeper, { readyTimeoutMs: 100, probe: async () => Promise.reject(new Error('still loading')) })
    slow.start()
    await until(async () => (await slow.status()).restarts >= 1)
    expect((await slow.status()).message).toContain('still loading')
  })

  it('writes what it says to its log', async () => {
    const talker = component({ file: '/bin/sh', args: ['-c', 'echo hello; echo problem >&2; exec sleep 1000'] })
    talker.start()
    await talker.whenReady(never)
    await until(async () => (await readFile(join(dir, 'test.log'), 'utf8')) === 'hello\nproblem\n')
  })
})
