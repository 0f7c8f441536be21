import type { BreakGlassRecord } from '@muster/api'
import { describe, expect, it } from 'vitest'
import { certainNow, standingOf } from './standing.ts'

const at = (minute: number): string => new Date(Date.UTC(2026, 2, 1, 12, minute)).toISOString()
const ms = (minute: number): number => Date.parse(at(minute))
const asked = { nonce: 'one', notBefore: at(0), until: at(30) }
const opened: BreakGlassRecord = { by: 'ada', reason: 'x', signedBy: ['ops'], from: at(0), until: at(30), nonce: 'one' }
const ended = { ...opened, endedAt: at(10) }

describe('a statement that is well signed', () => {
  it('opens within its time, and a minute of difference between clocks does no harm', () => {
    for (const minute of [-1, 0, 29]) expect(standingOf(asked, undefined, ms(minute))).toEqual({ open: true })
    expect(standingOf(asked, opened, ms(5))).toEqual({ open: true })
  })

  it('does not open before its time or after it', () => {
    expect(standingOf(asked, undefined, ms(-5))).toMatchObject({ open: false, reason: 'NotYet', againAtMs: ms(-1) })
    expect(standingOf(asked, undefined, ms(30))).toMatchObject({ open: false, reason: 'Expired' })
  })

  it('does not open again once it ended, however the clock is set', () => {
    for (const minute of [-60, 5, 60]) expect(standingOf(asked, ended, ms(minute))).toMatchObject({ open: false, reason: 'Ended' })
  })

  it('does not open where a newer one was open, ended or not', () => {
    const newer = { ...opened, nonce: 'two', from: at(5), until: at(50) }
    expect(standingOf(asked, newer, ms(6))).toMatchObject({ open: false, reason: 'Replayed' })
    expect(standingOf({ ...asked, notBefore: at(5) }, { ...newer, endedAt: at(6) }, ms(7))).toMatchObject({ reason: 'Replayed' })
    expect(standingOf({ ...asked, notBefore: at(6) }, newer, ms(7))).toEqual({ open: true })
  })

  it('does not open a release that was installed after it was signed: what was open for one of that name before is forgotten', () => {
    expect(standingOf(asked, undefined, ms(6), at(5))).toMatchObject({ open: false, reason: 'Replayed' })
    for (const installed of [at(-600), at(0), at(1)]) expect(standingOf(asked, undefined, ms(6), installed)).toEqual({ open: true })
    expect(standingOf(asked, opened, ms(6), at(5))).toEqual({ open: true })
  })

  it('is judged by no time before what is known to have been: a clock that is set back wins nothing', () => {
    expect(certainNow(ms(-60), at(-90), undefined)).toBe(ms(-60))
    expect(certainNow(ms(-60), at(40), undefined)).toBe(ms(40))
    expect(certainNow(ms(-60), at(-90), ended)).toBe(ms(10))
    expect(standingOf(asked, undefined, certainNow(ms(5), at(40), undefined))).toMatchObject({ reason: 'Expired' })
  })
})
