import type { ClusterReport } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { Reports } from './reports.ts'

const signal = new AbortController().signal
const report = (observedAt: string, change: Partial<ClusterReport> = {}): ClusterReport => ({
  cluster: 'alpha',
  generation: 1,
  observedAt: `2030-01-01T00:00:${observedAt}Z`,
  agentVersion: '1',
  kubernetesVersion: '1',
  nodes: [],
  releases: [],
  ...change,
})

function sink() {
  const written: number[] = []
  let now = new Date('2030-01-01T00:00:00Z')
  let failure: Error | undefined
  const reports = new Reports({
    clusters: {
      writeReport: async (one) => {
        if (failure) throw failure
        written.push(one.generation)
      },
    },
    now: () => now,
    heartbeatMs: 10_000,
  })
  return {
    reports,
    written,
    at: (seconds: number) => {
      now = new Date(Date.parse('2030-01-01T00:00:00Z') + seconds * 1000)
    },
    fail: (error: Error | undefined) => {
      failure = error
    },
  }
}

describe('reports', () => {
  it('are written at once when they say something new, else as a heartbeat', async () => {
    const { reports, written, at } = sink()
    await reports.take(report('00'), signal)
    at(5)
    await reports.take(report('05'), signal)
    expect(written).toEqual([1])
    await reports.take(report('05', { generation: 2 }), signal)
    expect(written).toEqual([1, 2])
    at(15)
    await reports.take(report('15', { generation: 2 }), signal)
    expect(written).toEqual([1, 2, 2])
  })

  it('that come late do not undo newer ones', async () => {
    const { reports, written } = sink()
    await Promise.all([reports.take(report('10', { generation: 2 }), signal), reports.take(report('09', { generation: 1 }), signal)])
    expect(written).toEqual([2])
  })

  it('of an agent whose clock was set back are taken', async () => {
    const { reports, written } = sink()
    await reports.take(report('10', { generation: 1 }), signal)
    await reports.take({ ...report('10', { generation: 2 }), observedAt: '2029-12-31T00:00:00Z' }, signal)
    expect(written).toEqual([1, 2])
  })

  it('that could not be written are not taken for written', async () => {
    const { reports, written, fail } = sink()
    fail(new Error('no API server'))
    await expect(reports.take(report('00'), signal)).rejects.toThrow('no API server')
    fail(undefined)
    await reports.take(report('00'), signal)
    expect(written).toEqual([1])
  })

  it('hold as long as a heartbeat says so, if it means the last one', async () => {
    const { reports, written, at } = sink()
    const holds = (second: string): string => `2030-01-01T00:00:${second}Z`
    const beat = (observed: string, said: string): Promise<boolean> =>
      reports.takeAgain({ cluster: 'alpha', observedAt: holds(observed), holds: holds(said) }, signal)
    expect(await beat('00', '00')).toBe(false)
    await reports.take(report('00', { generation: 7 }), signal)
    at(5)
    expect(await beat('05', '00')).toBe(true)
    expect(written).toEqual([7])
    at(10)
    expect(await beat('10', '00')).toBe(true)
    expect(written).toEqual([7, 7])
    expect(await beat('11', '05')).toBe(false)
    await reports.take(report('12', { generation: 7 }), signal)
    expect(await beat('13', '00')).toBe(false)
    expect(await beat('13', '12')).toBe(true)
    reports.forget('alpha')
    expect(await beat('14', '12')).toBe(false)
  })

  it('of a cluster that left are forgotten', async () => {
    const { reports, written } = sink()
    await reports.take(report('10'), signal)
    reports.forget('alpha')
    await reports.take(report('05'), signal)
    expect(written).toEqual([1, 1])
  })
})
