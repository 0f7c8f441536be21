import { describe, expect, it } from 'vitest'
import { type Leadership, Manager, type Runnable } from './manager.ts'
import { ManualClock, settle, until } from './testing/manual-clock.ts'

/** A part that writes down when it starts and stops. */
function part(name: string, log: string[], more: { fail?: Promise<void>; stubborn?: boolean } = {}): Runnable {
  return {
    name,
    run: async (signal) => {
      log.push(`+${name}`)
      const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      await Promise.race([more.stubborn ? new Promise(() => {}) : stopped, ...(more.fail ? [more.fail] : [])])
      log.push(`-${name}`)
    },
  }
}

describe('Manager', () => {
  it('starts servers, then views, then workers, and stops them in reverse', async () => {
    const log: string[] = []
    const manager = new Manager()
    manager.add(part('worker', log)).add(part('cache', log), { stage: 'caches' }).add(part('server', log), { stage: 'servers' })
    const stop = new AbortController()
    const running = manager.run(stop.signal)
    await until(() => log.length === 3)
    stop.abort()
    await running
    expect(log).toEqual(['+server', '+cache', '+worker', '-worker', '-cache', '-server'])
  })

  it('stops everything when one part fails, and says what failed', async () => {
    const log: string[] = []
    const failing = Promise.withResolvers<void>()
    const manager = new Manager().add(part('good', log)).add(part('bad', log, { fail: failing.promise }))
    const running = manager.run(new AbortController().signal)
    failing.reject(new Error('broken'))
    await expect(running).rejects.toThrow('broken')
    expect(log).toContain('-good')
  })

  it('ends within its time even if a part does not stop, and names it', async () => {
    const log: string[] = []
    const clock = new ManualClock()
    const manager = new Manager({ clock }).add(part('stubborn', log, { stubborn: true })).add(part('cache', log), { stage: 'caches' })
    const stop = new AbortController()
    const running = manager.run(stop.signal)
    const result = expect(running).rejects.toMatchObject({ code: 'Timeout', message: expect.stringContaining('stubborn') as string })
    await until(() => log.length === 2)
    stop.abort()
    await settle()
    await clock.advance(30_000)
    await result
    expect(log).toContain('-cache')
  })

  it('starts workers only when it leads, and stops all when it leads no more', async () => {
    const log: string[] = []
    const elected = Promise.withResolvers<void>()
    const lost = Promise.withResolvers<void>()
    const leaderElector: Leadership = { ...part('election', log, { fail: lost.promise }), whenLeading: () => elected.promise }
    const manager = new Manager({ leaderElector })
    manager.add(part('worker', log)).add(part('always', log), { needsLeader: false }).add(part('cache', log), { stage: 'caches' })
    const running = manager.run(new AbortController().signal)
    await settle()
    expect(log).toEqual(['+cache', '+always', '+election'])
    elected.resolve()
    await until(() => log.includes('+worker'))
    lost.reject(new Error('lost'))
    await expect(running).rejects.toThrow('lost')
    expect(log.slice(4)).toEqual(['-worker', '-always', '-cache'])
  })

  it('can be stopped while it waits to lead', async () => {
    const log: string[] = []
    const leaderElector: Leadership = {
      ...part('election', log),
      whenLeading: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    }
    const stop = new AbortController()
    const running = new Manager({ leaderElector }).add(part('worker', log)).run(stop.signal)
    await settle()
    stop.abort()
    await running
    expect(log).toEqual(['+election', '-election'])
  })

  it('takes no part once it runs', async () => {
    const manager = new Manager()
    const stop = new AbortController()
    const running = manager.run(stop.signal)
    expect(() => manager.add(part('late', []))).toThrow(expect.objectContaining({ code: 'Config' }))
    stop.abort()
    await running
  })
})
