import { describe, expect, it } from 'vitest'
import { Controller, type ControllerOptions } from './controller.ts'
import { KubeError } from './error.ts'
import { Informer, type InformerClient } from './informer.ts'
import { TerminalError } from './terminal-error.ts'
import { configMap, configMaps } from './testing/fake-api-server.ts'
import { ManualClock, settle, until } from './testing/manual-clock.ts'

function make(options: Partial<ControllerOptions> & Pick<ControllerOptions, 'reconcile'>) {
  const clock = new ManualClock()
  const errors: unknown[] = []
  const controller = new Controller({ name: 'test', clock, onError: (error) => errors.push(error), ...options })
  const stop = new AbortController()
  return { clock, controller, errors, stop, start: () => controller.run(stop.signal) }
}

describe('Controller', () => {
  it('reconciles what is enqueued and counts how it ended, from zero', async () => {
    const seen: string[] = []
    const { controller, stop, start } = make({
      reconcile: async (key) => {
        seen.push(key)
      },
    })
    expect(controller.stats).toEqual({ success: 0, requeue: 0, error: 0, terminal: 0, active: 0, waiting: 0, delayed: 0 })
    controller.enqueue('a/b')
    const running = start()
    await until(() => controller.stats.success === 1)
    stop.abort()
    await running
    expect(seen).toEqual(['a/b'])
  })

  it('comes again after the time that a reconcile asked for', async () => {
    let runs = 0
    const { controller, clock, stop, start } = make({
      reconcile: async () => {
        runs += 1
        return { requeueAfterMs: 60_000 }
      },
    })
    controller.enqueue('a')
    const running = start()
    await settle()
    await clock.advance(59_999)
    expect(runs).toBe(1)
    await clock.advance(1)
    expect(runs).toBe(2)
    expect(controller.stats.requeue).toBe(2)
    stop.abort()
    await running
  })

  it('repeats what failed with growing waits, longer if the server asked, and not at all what is terminal', async () => {
    const failures = [
      new Error('one'),
      new Error('two'),
      new KubeError('TooManyRequests', 'busy', { retryAfterMs: 9000 }),
      new TerminalError('no'),
    ]
    const { controller, clock, errors, stop, start } = make({
      reconcile: async () => {
        const failure = failures.shift()
        if (failure) throw failure
      },
    })
    controller.enqueue('a')
    const running = start()
    const waits: number[] = []
    for (let failure = 0; failure < 3; failure += 1) {
      await until(() => errors.length === failure + 1 && controller.stats.delayed === 1)
      const [wait = 0] = clock.delays
      waits.push(wait)
      await clock.advance(wait)
    }
    await until(() => errors.length === 4)
    expect(waits).toEqual([5, 10, 9000])
    expect(controller.stats).toMatchObject({ error: 3, terminal: 1, delayed: 0, waiting: 0 })
    stop.abort()
    await running
  })

  it('works on as many keys at once as it may, and never on one twice', async () => {
    const active: string[] = []
    let most = 0
    const gates = new Map<string, () => void>()
    const { controller, stop, start } = make({
      concurrency: 2,
      reconcile: async (key) => {
        expect(active).not.toContain(key)
        active.push(key)
        most = Math.max(most, active.length)
        await new Promise<void>((resolve) => gates.set(key, resolve))
        active.splice(active.indexOf(key), 1)
      },
    })
    for (const key of ['a', 'b', 'c']) controller.enqueue(key)
    const running = start()
    await until(() => active.length === 2)
    controller.enqueue('a')
    gates.get('a')?.()
    gates.get('b')?.()
    await until(() => active.length === 2 && active.includes('c'))
    gates.get('c')?.()
    gates.get('a')?.()
    await until(() => controller.stats.success === 4)
    expect(most).toBe(2)
    stop.abort()
    await running
  })

  it('ends a reconcile that takes too long, and repeats it', async () => {
    const { controller, clock, errors, stop, start } = make({
      timeoutMs: 1000,
      reconcile: (_, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })
    controller.enqueue('a')
    const running = start()
    await until(() => controller.stats.active === 1)
    await clock.advance(1000)
    expect(errors).toEqual([expect.objectContaining({ name: 'TimeoutError' })])
    expect(controller.stats.error).toBe(1)
    stop.abort()
    await clock.advance(10_000)
    await running
  })

  it('lets what is under way end by itself when it stops, and interrupts it only after a while', async () => {
    let interrupted = 0
    let finish = () => {}
    const { controller, clock, errors, stop, start } = make({
      concurrency: 2,
      drainMs: 5000,
      reconcile: (key, signal) =>
        new Promise((resolve, reject) => {
          if (key === 'quick') finish = resolve
          signal.addEventListener('abort', () => {
            interrupted += 1
            reject(signal.reason)
          })
        }),
    })
    controller.enqueue('quick')
    controller.enqueue('slow')
    const running = start()
    await until(() => controller.stats.active === 2)
    stop.abort()
    await clock.advance(4000)
    finish()
    await settle()
    expect([interrupted, controller.stats.success]).toEqual([0, 1])
    await clock.advance(1000)
    await running
    expect([interrupted, errors.length]).toEqual([1, 0])
    expect(clock.delays).toEqual([])
  })

  describe('that watches an informer', () => {
    /** A client whose one watch gives three objects, then what the test pushes. */
    function view(clock: ManualClock) {
      const changes: (() => void)[] = []
      const pushed: { type: 'MODIFIED'; object: ReturnType<typeof configMap> }[] = []
      const client = {
        async *watch() {
          for (const name of ['a', 'b', 'c']) yield { type: 'ADDED', object: configMap(name, '1') }
          yield { type: 'BOOKMARK', resourceVersion: '1', initialEventsEnd: true }
          for (;;) {
            const next = pushed.shift()
            if (next) yield next
            else await new Promise<void>((resolve) => changes.push(resolve))
          }
        },
      } as unknown as InformerClient
      const push = (name: string, version: string) => {
        pushed.push({ type: 'MODIFIED', object: configMap(name, version) })
        for (const wake of changes.splice(0)) wake()
      }
      return { informer: new Informer(client, { ...configMaps, clock }), push }
    }

    it('starts when the view is complete, and maps changes to the keys they concern', async () => {
      const seen: string[] = []
      const { controller, clock, stop, start } = make({
        reconcile: async (key) => {
          seen.push(key)
        },
      })
      const { informer, push } = view(clock)
      controller.watches(informer, ({ object }) => (object.metadata.name === 'b' ? [] : [`owner-of-${object.metadata.name}`, 'all']))
      const running = start()
      await settle()
      expect(seen).toEqual([])
      void informer.run(stop.signal)
      await until(() => controller.stats.success === 3)
      expect(seen).toEqual(['owner-of-a', 'all', 'owner-of-c'])
      push('a', '2')
      await until(() => controller.stats.success === 5)
      expect(seen.slice(3)).toEqual(['owner-of-a', 'all'])
      stop.abort()
      await running
    })

    it('comes back to what its full queue could not take', async () => {
      const seen = new Set<string>()
      const { controller, clock, stop, start } = make({
        limit: 2,
        reconcile: async (key) => {
          seen.add(key)
        },
      })
      const { informer } = view(clock)
      controller.watches(informer)
      void informer.run(stop.signal)
      const running = start()
      await until(() => seen.size === 3)
      stop.abort()
      await running
    })
  })
})
