import { describe, expect, it } from 'vitest'
import { orAborted } from './or-aborted.ts'

describe('orAborted', () => {
  it('gives what was waited for, or its error', async () => {
    const { signal } = new AbortController()
    expect(await orAborted(Promise.resolve(1), signal, 'it')).toBe(1)
    expect(await orAborted(Promise.resolve(1), undefined, 'it')).toBe(1)
    await expect(orAborted(Promise.reject(new Error('x')), signal, 'it')).rejects.toThrow('x')
  })

  it('ends with the signal, even one that was aborted before', async () => {
    const stop = new AbortController()
    const waiting = expect(orAborted(new Promise(() => {}), stop.signal, 'it')).rejects.toMatchObject({ code: 'Aborted' })
    stop.abort()
    await waiting
    await expect(orAborted(new Promise(() => {}), stop.signal, 'it')).rejects.toMatchObject({ code: 'Aborted' })
  })
})
