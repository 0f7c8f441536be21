import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock, settle } from './testing/manual-clock.ts'
import { WorkQueue } from './work-queue.ts'

function make(limit?: number) {
  const clock = new ManualClock()
  return { clock, queue: new WorkQueue({ clock, limit }) }
}

/** What the queue would give now; `none` if a worker would have to wait. */
async function poll(queue: WorkQueue): Promise<string | undefined> {
  return queue.waiting > 0 ? await queue.next() : 'none'
}

describe('WorkQueue', () => {
  it('gives a key once, however often it was added', async () => {
    const { queue } = make()
    for (const key of ['a', 'b', 'a', 'a']) queue.add(key)
    expect([await poll(queue), await poll(queue), await poll(queue)]).toEqual(['a', 'b', 'none'])
  })

  it('never gives a key to two workers, and gives it again if it was added meanwhile', async () => {
    const { queue } = make()
    queue.add('a')
    expect(await queue.next()).toBe('a')
    queue.add('a')
    queue.add('a')
    expect(await poll(queue)).toBe('none')
    queue.done('a')
    expect(await poll(queue)).toBe('a')
    queue.done('a')
    expect(await poll(queue)).toBe('none')
  })

  it('wakes one waiting worker per key', async () => {
    const { queue } = make()
    const got: (string | undefined)[] = []
    for (let worker = 0; worker < 3; worker += 1) void queue.next().then((key) => got.push(key))
    queue.add('a')
    queue.add('b')
    await settle()
    expect(got).toEqual(['a', 'b'])
    queue.close()
    await settle()
    expect(got).toEqual(['a', 'b', undefined])
  })

  it('lets real changes pass what came with the first list', async () => {
    const { queue } = make()
    queue.add('listed', 'low')
    queue.add('changed', 'low')
    queue.add('new')
    queue.add('changed')
    expect([await poll(queue), await poll(queue), await poll(queue)]).toEqual(['new', 'changed', 'listed'])
  })

  it('adds a key when its time has come, at the earliest of several times', async () => {
    const { queue, clock } = make()
    queue.addAfter('a', 100)
    queue.addAfter('a', 50)
    queue.addAfter('a', 200)
    expect(queue.delayed).toBe(1)
    await clock.advance(49)
    expect(queue.waiting).toBe(0)
    await clock.advance(1)
    expect([queue.waiting, queue.delayed]).toEqual([1, 0])
    await clock.advance(1000)
    expect(queue.waiting).toBe(1)
  })

  it('doubles the wait of a key that fails, and starts anew when it is forgotten', async () => {
    const { queue, clock } = make()
    const waits: number[] = []
    for (let failure = 0; failure < 20; failure += 1) {
      queue.retry('a')
      waits.push(clock.delays[0] ?? 0)
      await clock.advance(2_000_000)
    }
    expect(waits.slice(0, 3)).toEqual([5, 10, 20])
    expect(waits.at(-1)).toBe(1_000_000)
    queue.forget('a')
    queue.retry('a')
    expect(clock.delays).toEqual([5])
  })

  it('waits at least as long as a server asked', () => {
    const { queue, clock } = make()
    queue.retry('a', 3000)
    expect(clock.delays).toEqual([3000])
  })

  it('refuses new keys beyond its limit, but never known ones', () => {
    const { queue } = make(2)
    expect([
      queue.add('a'),
      queue.addAfter('b', 10),
      queue.add('c'),
      queue.addAfter('c', 10),
      queue.add('a'),
      queue.addAfter('b', 5),
    ]).toEqual([true, true, false, false, true, true])
  })

  it('takes and gives nothing once it is closed, and leaves no timer', async () => {
    const { queue, clock } = make()
    queue.add('a')
    queue.addAfter('b', 10)
    queue.close()
    expect(await queue.next()).toBeUndefined()
    expect([queue.add('c'), queue.addAfter('c', 1), clock.delays.length]).toEqual([false, false, 0])
  })

  it('loses no key and works on none twice at once, whatever the order of things', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ do: fc.constant('take' as const), key: fc.constant('') }),
      fc.record({ do: fc.constant('done' as const), key: fc.constantFrom('a', 'b', 'c') }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        const { queue } = make()
        const active = new Set<string>()
        const owed = new Set<string>()
        const take = async () => {
          const key = (await poll(queue)) ?? 'none'
          if (key === 'none') return false
          expect(active.has(key)).toBe(false)
          active.add(key)
          owed.delete(key)
          return true
        }
        for (const { do: what, key } of steps) {
          if (what === 'add') {
            queue.add(key)
            owed.add(key)
          } else if (what === 'take') await take()
          else if (active.delete(key)) queue.done(key)
        }
        for (const key of active) queue.done(key)
        active.clear()
        while (await take());
        expect(owed.size).toBe(0)
      }),
    )
  })
})
