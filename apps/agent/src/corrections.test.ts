import { describe, expect, it } from 'vitest'
import { Corrections } from './corrections.ts'

const key = 'Deployment.apps/shop/web'
const change = (atMs: number, manager = 'other', path = '.spec.replicas') => ({ atMs, managers: [manager], paths: [path] })

describe('corrections of one object', () => {
  it('are made at once at first, then ever more slowly, and never more than five minutes apart', () => {
    const log = new Corrections()
    const waits: number[] = []
    let now = 0
    for (let i = 0; i < 20; i++) {
      log.record(key, change(now))
      const wait = log.delay(key, now)
      waits.push(wait)
      now += wait + 1
    }
    expect(waits.slice(0, 6)).toEqual([0, 0, 0, 500, 1000, 2000])
    expect(Math.max(...waits)).toBe(300_000)
    expect(waits.at(-1)).toBe(300_000)
    expect(log.delay('another', now)).toBe(0)
  })

  it('are a fight when one manager changes the same field five times, told by its name, its field, and since when', () => {
    const log = new Corrections()
    for (let i = 0; i < 4; i++) log.record(key, change(1_000 + i * 60_000))
    expect(log.fights(key, 200_000)).toEqual([])
    log.record(key, change(250_000))
    expect(log.fights(key, 250_000)).toEqual([
      { manager: 'other', paths: ['.spec.replicas'], times: 5, sinceMs: 1_000, lastMs: 250_000, waitMs: 1_000 },
    ])
  })

  it('are no fight when each was of another field, or by another manager', () => {
    const log = new Corrections()
    for (let i = 0; i < 8; i++) log.record(key, change(i, 'other', `.data.f${i}`))
    for (let i = 0; i < 8; i++) log.record(key, change(100 + i, `manager-${i}`))
    expect(log.fights(key, 200)).toEqual([])
  })

  it('are a fight too with somebody that the API server does not name, who deletes it', () => {
    const log = new Corrections()
    for (let i = 0; i < 5; i++) log.record(key, { atMs: i, managers: [], paths: ['(deleted)'] })
    expect(log.fights(key, 5)).toMatchObject([{ manager: undefined, times: 5 }])
  })

  it('wait no longer where the clock was set back', () => {
    const log = new Corrections()
    for (let i = 0; i < 5; i++) log.record(key, change(3_600_000))
    expect(log.delay(key, 0)).toBe(1_000)
    log.record('other', change(3_600_000))
    expect(log.delay('other', 0)).toBe(0)
  })

  it('are forgotten when nothing happened for ten minutes, and are bounded', () => {
    const log = new Corrections()
    for (let i = 0; i < 6; i++) log.record(key, change(i))
    expect(log.fights(key, 600_006)).toEqual([])
    expect(log.delay(key, 600_006)).toBe(0)
    for (let i = 0; i < 12_000; i++) log.record(`o${i}`, change(700_000))
    for (let i = 0; i < 5; i++) log.record('o11999', change(700_000))
    expect(log.fights('o11999', 700_000)).toHaveLength(1)
  })
})
