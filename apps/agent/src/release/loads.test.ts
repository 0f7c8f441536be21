import { describe, expect, it } from 'vitest'
import { BundleRefusal, type LoadedBundle } from '../bundle-loader.ts'
import type { Clock } from '../clock.ts'
import { Loads } from './loads.ts'

const bundle = { digest: 'sha256:a', version: '1.0.0' } as LoadedBundle
const wanted = { release: 'shop', version: '1.0.0', key: 'a' }
const never = new AbortController().signal

/** A clock of which every pause ends when the test says so. */
function stopped() {
  let nowMs = 1_000_000
  const pauses = new Set<() => void>()
  const clock: Clock = {
    now: () => new Date(nowMs),
    monotonicMs: () => 0,
    random: () => 0,
    sleep: async (_ms, signal) =>
      new Promise<void>((resolve, reject) => {
        pauses.add(resolve)
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
  }
  return {
    clock,
    pass: (ms: number) => {
      nowMs += ms
      for (const end of pauses) end()
      pauses.clear()
    },
  }
}

describe('a bundle on its way', () => {
  it('is waited for, but not for long: then the release is told so, and looked at again when it is there', async () => {
    const { clock, pass } = stopped()
    const woken: string[] = []
    const loads = new Loads(clock, (release) => woken.push(release))
    const sent = Promise.withResolvers<LoadedBundle>()
    let asked = 0
    const start = async () => {
      asked += 1
      return sent.promise
    }
    const first = loads.load(wanted, start, never)
    pass(10_000)
    await expect(first).rejects.toThrow(BundleRefusal)
    await expect(first).rejects.toMatchObject({ reason: 'RegistryUnreachable', transient: true, message: expect.stringContaining('slow') })
    const again = loads.load(wanted, start, never)
    pass(1)
    await expect(again).rejects.toMatchObject({ reason: 'RegistryUnreachable' })
    sent.resolve(bundle)
    await sent.promise
    await Promise.resolve()
    expect(woken).toEqual(['shop'])
    expect(await loads.load(wanted, start, never)).toBe(bundle)
    expect(asked).toBe(1)
    // It was given away, and is not kept.
    expect(await loads.load(wanted, start, never)).toBe(bundle)
    expect(asked).toBe(2)
  })

  it('ends when who asked for it is overtaken, when nobody asks for it any more, and with the agent', async () => {
    const { clock, pass } = stopped()
    const loads = new Loads(clock, () => {})
    const ended: string[] = []
    const start = (name: string) => async (signal: AbortSignal) =>
      new Promise<LoadedBundle>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          ended.push(name)
          reject(signal.reason)
        })
      })
    const overtaken = new AbortController()
    const first = loads.load(wanted, start('overtaken'), overtaken.signal)
    overtaken.abort(new Error('something newer'))
    await expect(first).rejects.toThrow('something newer')
    expect(ended).toEqual(['overtaken'])

    const forgotten = loads.load({ ...wanted, key: 'b' }, start('forgotten'), never)
    pass(10_000)
    await expect(forgotten).rejects.toThrow(BundleRefusal)
    pass(60_000)
    const stop = new AbortController()
    const running = loads.run(stop.signal)
    const last = loads.load({ ...wanted, key: 'c' }, start('last'), never)
    expect(ended).toEqual(['overtaken', 'forgotten'])
    stop.abort(new Error('stopped'))
    await expect(last).rejects.toThrow('stopped')
    await running
    expect(ended).toEqual(['overtaken', 'forgotten', 'last'])
  })

  it('that is refused is refused to who asks, and asked for anew the next time', async () => {
    const { clock } = stopped()
    const loads = new Loads(clock, () => {})
    const refuse = async (): Promise<LoadedBundle> => {
      throw new BundleRefusal('DataDamaged', 'It is damaged.', true, undefined)
    }
    await expect(loads.load(wanted, refuse, never)).rejects.toMatchObject({ reason: 'DataDamaged' })
    expect(await loads.load(wanted, async () => bundle, never)).toBe(bundle)
  })
})
