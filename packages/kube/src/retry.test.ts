import { describe, expect, it } from 'vitest'
import { KubeError } from './error.ts'
import { retryDelay } from './retry.ts'

const random = () => 0
const busy = new KubeError('TooManyRequests', 'busy', { status: 429, retryAfterMs: 2000 })
const away = new KubeError('Unreachable', 'away')

describe('retryDelay', () => {
  it('repeats any request that the server turned away with a time, after that time', () => {
    expect(retryDelay(busy, 0, false, random)).toBe(2000)
    expect(retryDelay(busy, 0, false, () => 0.5)).toBe(2200)
    expect(retryDelay(new KubeError('ServerError', 'x', { status: 503, retryAfterMs: 1000 }), 1, false, random)).toBe(1000)
  })

  it('does not repeat 429 without a time: that is an eviction that a budget forbids', () => {
    expect(retryDelay(new KubeError('TooManyRequests', 'busy', { status: 429 }), 0, true, random)).toBeUndefined()
  })

  it('repeats after a failure only what may safely arrive twice', () => {
    expect(retryDelay(away, 0, true, random)).toBe(100)
    expect(retryDelay(away, 2, true, random)).toBe(400)
    expect(retryDelay(away, 0, false, random)).toBeUndefined()
  })

  it('ends', () => {
    expect(retryDelay(away, 3, true, random)).toBeUndefined()
    expect(retryDelay(busy, 5, true, random)).toBeUndefined()
  })
})
