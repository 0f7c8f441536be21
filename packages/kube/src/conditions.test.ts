import { describe, expect, it } from 'vitest'
import { findCondition, isConditionTrue, removeCondition, setCondition } from './conditions.ts'

const first = new Date('2026-01-02T03:04:05.678Z')
const later = new Date('2026-01-02T04:00:00Z')
const ready = { type: 'Ready', status: 'True', reason: 'Applied', message: 'all is well', observedGeneration: 1 } as const

describe('setCondition', () => {
  it('adds a condition with the time in seconds', () => {
    expect(setCondition(undefined, ready, first)).toEqual([{ ...ready, lastTransitionTime: '2026-01-02T03:04:05Z' }])
  })

  it('keeps the time of transition where only reason, message or generation change', () => {
    const before = setCondition([], ready, first)
    const after = setCondition(before, { ...ready, reason: 'Same', message: 'still', observedGeneration: 2 }, later)
    expect(after).toEqual([
      { ...ready, reason: 'Same', message: 'still', observedGeneration: 2, lastTransitionTime: '2026-01-02T03:04:05Z' },
    ])
  })

  it('sets the time where status changes, in place among the others', () => {
    const before = setCondition(setCondition([], ready, first), { ...ready, type: 'Other' }, first)
    const after = setCondition(before, { ...ready, status: 'False' }, later)
    expect(after.map(({ type, status, lastTransitionTime }) => [type, status, lastTransitionTime])).toEqual([
      ['Ready', 'False', '2026-01-02T04:00:00Z'],
      ['Other', 'True', '2026-01-02T03:04:05Z'],
    ])
  })

  it('gives the very same array where nothing changes, and never changes what it was given', () => {
    const before = Object.freeze(setCondition([], ready, first))
    expect(setCondition(before, ready, later)).toBe(before)
    expect(setCondition(before, { ...ready, status: 'False' }, later)).not.toBe(before)
  })

  it('cuts a message that the server would refuse', () => {
    const [condition] = setCondition([], { ...ready, message: 'x'.repeat(40_000) }, first)
    expect(condition?.message.length).toBe(32_768)
  })

  it('is found, judged and removed by type', () => {
    const conditions = setCondition([], ready, first)
    expect(findCondition(conditions, 'Ready')?.reason).toBe('Applied')
    expect(isConditionTrue(conditions, 'Ready')).toBe(true)
    expect(isConditionTrue(undefined, 'Ready')).toBe(false)
    expect(removeCondition(conditions, 'Ready')).toEqual([])
  })
})
