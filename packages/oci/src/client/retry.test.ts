import { describe, expect, it } from 'vitest'
import { OciError } from '../errors.ts'
import { defaultRetry, parseRetryAfter, retryDelay } from './retry.ts'

const passing = new OciError('ServerError', 'down')

describe('retries', () => {
  it('wait longer each time, jittered, up to a limit', () => {
    const waits = [1, 2, 3, 4].map((failures) => retryDelay(defaultRetry, failures, passing, () => 1))
    expect(waits).toEqual([250, 500, 1000, 2000])
    expect(retryDelay(defaultRetry, 1, passing, () => 0)).toBe(125)
    expect(retryDelay({ ...defaultRetry, attempts: 99 }, 50, passing, () => 1)).toBe(defaultRetry.maximumMs)
  })

  it('end after the last attempt, and never begin for what does not pass', () => {
    expect(retryDelay(defaultRetry, defaultRetry.attempts, passing, () => 1)).toBeUndefined()
    expect(retryDelay(defaultRetry, 1, new OciError('DigestMismatch', 'x'), () => 1)).toBeUndefined()
    expect(retryDelay(defaultRetry, 1, new Error('x'), () => 1)).toBeUndefined()
  })

  it('wait as long as the registry asks, unless that is too long', () => {
    const asks = (retryAfterMs: number): OciError => new OciError('TooManyRequests', 'x', { retryAfterMs })
    expect(retryDelay(defaultRetry, 1, asks(7000), () => 1)).toBe(7000)
    expect(retryDelay(defaultRetry, 1, asks(3_600_000), () => 1)).toBeUndefined()
  })

  it('read Retry-After in seconds and as a date', () => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    expect(parseRetryAfter('5', now)).toBe(5000)
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:10 GMT', now)).toBe(10_000)
    expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0)
    expect(parseRetryAfter('soon', now)).toBeUndefined()
  })
})
