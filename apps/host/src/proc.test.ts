import { describe, expect, it } from 'vitest'
import { identify, isAlive, startTimeOf } from './proc.ts'

describe('a process', () => {
  it('is known by its start, whatever its name is', () => {
    const fields = Array.from({ length: 40 }, (_, index) => String(index + 4))
    expect(startTimeOf(`12 (a) b) (c) S ${fields.join(' ')}`)).toBe('22')
  })

  it('that ended and waits for its parent is gone', () => {
    expect(startTimeOf(`12 (sh) Z ${'0 '.repeat(40)}`)).toBeUndefined()
  })

  it('is not taken for a later one with the same pid', async () => {
    const own = await identify(process.pid)
    expect(own).toBeDefined()
    if (own === undefined) return
    expect(await isAlive(own)).toBe(true)
    expect(await isAlive({ ...own, startTime: '1' })).toBe(false)
    expect(await isAlive({ ...own, bootId: 'before the reboot' })).toBe(false)
  })
})
