import { describe, expect, it } from 'vitest'
import { backoffMs } from './clock.ts'
import { nodeReport } from './nodes.ts'
import { readSettings } from './settings.ts'

describe('settings', () => {
  it('have defaults for a pod of the usual install', () => {
    expect(readSettings({})).toMatchObject({ namespace: 'muster-system', store: '/var/lib/muster', pollMs: 2_000, probes: { port: 8_081 } })
  })

  it('are refused with the name of the variable that is wrong', () => {
    expect(() => readSettings({ MUSTER_POLL_MS: 'soon' })).toThrow(/MUSTER_POLL_MS/)
  })
})

describe('a backoff', () => {
  it('doubles up to its limit, and is never shorter than half of it', () => {
    const limits = { baseMs: 100, maxMs: 1_000 }
    expect([0, 1, 2, 3, 4, 50].map((attempt) => backoffMs(attempt, limits, () => 1))).toEqual([100, 200, 400, 800, 1_000, 1_000])
    expect(backoffMs(2, limits, () => 0)).toBe(200)
  })
})

describe('a node', () => {
  it('is ready only when it says so', () => {
    const node = (status: object) => ({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' }, status })
    expect(nodeReport(node({ conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } }))).toEqual({
      name: 'n',
      ready: true,
      version: 'v1',
    })
    expect(nodeReport(node({ conditions: [{ type: 'Ready', status: 'Unknown' }] })).ready).toBe(false)
    expect(nodeReport(node({})).ready).toBe(false)
  })
})
