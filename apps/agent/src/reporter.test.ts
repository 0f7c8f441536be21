import type { ClusterReport } from '@muster/api'
import { describe, expect, it } from 'vitest'
import type { Clock } from './clock.ts'
import { Reporter, reportOf } from './reporter.ts'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const report = reportOf(
  {
    cluster: 'alpha',
    generation: 1,
    channelDigest: undefined,
    agentVersion: '0.1.0',
    kubernetesVersion: 'v1.37.2',
    nodes: [],
    releases: [],
    sealing: undefined,
    channelUnreadable: undefined,
  },
  new Date('2026-01-01T00:00:00Z'),
)

/** A hub that wants each report in full. */
const inFull = { beat: async () => false, timely: () => '' }

/** A clock that waits for nobody: it records how long each wait would be, and ends it as told. */
function manualClock(): { clock: Clock; waits: { ms: number; end: () => void }[]; next: () => Promise<void> } {
  const waits: { ms: number; end: () => void }[] = []
  let arrived = Promise.withResolvers<void>()
  const clock: Clock = {
    now: () => new Date(),
    monotonicMs: () => 0,
    random: () => 0.5,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        waits.push({ ms, end: resolve })
        arrived.resolve()
      }),
  }
  const next = async (): Promise<void> => {
    while (waits.length === 0) {
      await arrived.promise
      arrived = Promise.withResolvers<void>()
    }
  }
  return { clock, waits, next }
}

describe('reports', () => {
  it('go out at the interval, and at once when something changed', async () => {
    const { clock, waits, next } = manualClock()
    const sent: ClusterReport[] = []
    const reporter = new Reporter({
      collect: () => report,
      send: async (one) => void sent.push(one),
      ...inFull,
      clock,
      logger: quiet,
      intervalMs: () => 10_000,
    })
    const stop = new AbortController()
    const running = reporter.run(stop.signal)
    await next()
    waits.pop()?.end()
    await next()
    expect(sent).toHaveLength(1)
    expect(waits.at(-1)?.ms).toBe(10_000)
    waits.length = 0
    reporter.changed()
    await next()
    waits.pop()?.end()
    await next()
    expect(sent).toHaveLength(2)
    stop.abort()
    await running
  })

  it('wait no longer for a hub that is slow to answer, and longer where they take long to put together', async () => {
    const { clock, waits, next } = manualClock()
    let nowMs = 0
    let costMs = 0
    const reporter = new Reporter({
      collect: () => {
        nowMs += costMs
        return report
      },
      send: async () => {
        await Promise.resolve()
        nowMs += 5_000
      },
      ...inFull,
      clock: { ...clock, now: () => new Date(nowMs) },
      logger: quiet,
    })
    const stop = new AbortController()
    const running = reporter.run(stop.signal)
    const gathered: number[] = []
    for (costMs of [100, 100]) {
      await next()
      gathered.push(waits.at(-1)?.ms ?? 0)
      waits.pop()?.end()
      await next()
      waits.pop()
      reporter.changed()
    }
    expect(gathered).toEqual([200, 2_000])
    stop.abort()
    await running
  })

  it('are not made again where nothing was worked on: a heartbeat says that the last one holds', async () => {
    const { clock, waits, next } = manualClock()
    let now = Date.parse('2026-01-01T00:00:00Z')
    const said: string[] = []
    let known = true
    let trouble = ''
    const reporter = new Reporter({
      collect: () => ({ ...report, observedAt: new Date(now).toISOString() }),
      send: async ({ observedAt }) => void said.push(`report ${observedAt.slice(14, 19)}`),
      beat: async ({ observedAt, holds }) => {
        said.push(`${observedAt.slice(14, 19)} as ${holds.slice(14, 19)}`)
        return known
      },
      timely: () => trouble,
      clock: { ...clock, now: () => new Date(now) },
      logger: quiet,
    })
    const stop = new AbortController()
    const running = reporter.run(stop.signal)
    /** What is said at the next time. */
    const round = async (): Promise<string[]> => {
      said.length = 0
      await next()
      waits.pop()?.end()
      await next()
      waits.pop()?.end()
      now += 10_000
      return [...said]
    }
    expect(await round()).toEqual(['report 00:00'])
    expect(await round()).toEqual(['00:10 as 00:00'])
    reporter.touched()
    expect(await round()).toEqual(['report 00:20'])
    trouble = 'the registry does not answer'
    expect(await round()).toEqual(['report 00:30'])
    known = false
    expect(await round()).toEqual(['00:40 as 00:30', 'report 00:40'])
    known = true
    now += 290_000
    expect(await round()).toEqual(['report 05:40'])
    stop.abort()
    await running
  })

  it('that the hub does not take hold up nothing, and are tried again', async () => {
    const { clock, waits, next } = manualClock()
    let tries = 0
    const send = async (): Promise<void> => {
      tries += 1
      throw new Error('away')
    }
    const reporter = new Reporter({ collect: () => report, send, ...inFull, clock, logger: quiet, intervalMs: () => 10_000 })
    const stop = new AbortController()
    const running = reporter.run(stop.signal)
    for (let i = 0; i < 4; i++) {
      await next()
      waits.pop()?.end()
    }
    await next()
    expect(tries).toBe(2)
    stop.abort()
    await running
  })

  it('leave out what is not known', () => {
    expect(report).not.toHaveProperty('channelDigest')
    expect(report).not.toHaveProperty('channelUnreadable')
  })
})
