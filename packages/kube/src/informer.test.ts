import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KubeClient } from './client.ts'
import { Informer, type InformerOptions } from './informer.ts'
import {
  type Answer,
  configMap,
  configMaps,
  FakeApiServer,
  type FakeWatch,
  listOf,
  status,
  statusObject,
} from './testing/fake-api-server.ts'
import { ManualClock, settle, until } from './testing/manual-clock.ts'

let api: FakeApiServer
let clock: ManualClock
let client: KubeClient
let stop: AbortController
let running: Promise<void>

beforeEach(async () => {
  api = await FakeApiServer.start()
  clock = new ManualClock()
  client = new KubeClient({ server: api.url }, { clock })
  stop = new AbortController()
  running = Promise.resolve()
})

afterEach(async () => {
  stop.abort()
  await running
  client.close()
  await api.stop()
})

function start<T>(options: Partial<InformerOptions<T>> = {}) {
  const errors: unknown[] = []
  const informer = new Informer<T>(client, { ...configMaps, clock, onError: (error) => errors.push(error), ...options })
  const events: string[] = []
  informer.onChange(({ type, key, initial }) => events.push(`${initial ? 'initial ' : ''}${type} ${key}`))
  running = informer.run(stop.signal)
  return { informer, events, errors, codes: () => errors.map((error) => (error as { code?: string }).code) }
}

/** A view that is filled with a and b, by WatchList, at version 10. */
async function filled(options: Partial<InformerOptions<unknown>> = {}) {
  const view = start(options)
  const watch = await api.nextWatch()
  watch.send('ADDED', configMap('b', '2'))
  watch.send('ADDED', configMap('a', '1'))
  watch.bookmark('10', true)
  await view.informer.whenSynced()
  return { ...view, watch }
}

const lists = () => api.requests.filter(({ path, query }) => path.endsWith('configmaps') && !query.has('watch')).length
const sendsAll = (watch: FakeWatch) => watch.query.get('sendInitialEvents') === 'true'

/** Lets backoffs run out, at most so many milliseconds of them, until a watch comes. Other timers are left alone. */
async function watchAfterBackoff(most: number): Promise<FakeWatch> {
  let watch: FakeWatch | undefined
  void api.nextWatch().then((next) => {
    watch = next
  })
  let waited = 0
  await until(() => watch !== undefined || backoffs().length > 0)
  while (!watch) {
    const [delay = 0] = backoffs()
    waited += delay
    if (waited > most) throw new Error(`no watch came within ${most} ms`)
    await clock.advance(delay)
    await until(() => watch !== undefined || backoffs().length > 0)
  }
  return watch
}

/** Waits for a connection or a server are below these of requests (30 s) and silence (15 s and more). */
const backoffs = () => clock.delays.filter((delay) => delay < 15_000)

describe('the first fill', () => {
  it('streams all objects, shows them only when they are complete, and follows on the same watch', async () => {
    const { informer, events } = start()
    const watch = await api.nextWatch()
    expect(Object.fromEntries(watch.query)).toMatchObject({
      watch: '1',
      sendInitialEvents: 'true',
      resourceVersionMatch: 'NotOlderThan',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '300',
    })
    watch.send('ADDED', configMap('b', '2'))
    watch.bookmark('5')
    watch.send('ADDED', configMap('a', '1'))
    await until(() => informer.lastActivityMs === 0)
    await settle()
    expect([informer.synced, informer.size, events]).toEqual([false, 0, []])
    watch.bookmark('10', true)
    await informer.whenSynced()
    expect(events).toEqual(['initial added default/b', 'initial added default/a'])
    expect(informer.list()).toHaveLength(2)
    watch.send('MODIFIED', configMap('a', '11', { x: '1' }))
    watch.send('DELETED', configMap('b', '12'))
    watch.send('ADDED', configMap('c', '13'))
    await until(() => events.length === 5)
    expect(events.slice(2)).toEqual(['modified default/a', 'deleted default/b', 'added default/c'])
    expect(informer.get('default/a')).toMatchObject({ data: { x: '1' } })
    expect([informer.size, lists()]).toEqual([2, 0])
  })

  it('drops managedFields from what it keeps, but shows them in the change', async () => {
    const { informer, watch } = await filled()
    const raw: unknown[] = []
    informer.onChange((event) => raw.push(event.raw?.metadata.managedFields, (event.object as { metadata: object }).metadata))
    watch.send('MODIFIED', configMap('a', '11'))
    await until(() => raw.length === 2)
    expect(raw).toEqual([[{ manager: 'someone' }], { name: 'a', namespace: 'default', uid: 'uid-a', resourceVersion: '11' }])
  })

  it('keeps only what it is told to', async () => {
    const { informer } = await filled({ project: ({ metadata }) => metadata.name.toUpperCase() })
    expect(informer.list().sort()).toEqual(['A', 'B'])
  })

  it('lists in pages and watches where the server refuses to stream', async () => {
    api.handle = ({ query }) => {
      if (query.get('sendInitialEvents')) return status(422, 'Invalid')
      if (query.get('watch')) return undefined
      if (!query.has('limit')) return undefined
      return query.get('continue') ? listOf('7', [configMap('b', '2')]) : listOf('7', [configMap('a', '1')], 'more')
    }
    const { informer, events } = start()
    await informer.whenSynced()
    const watch = await api.nextWatch()
    expect([watch.query.get('resourceVersion'), sendsAll(watch), lists()]).toEqual(['7', false, 2])
    watch.send('ADDED', configMap('c', '8'))
    await until(() => events.length === 3)
    expect(events).toEqual(['initial added default/a', 'initial added default/b', 'added default/c'])
  })

  it('lists where the server does not know streaming and just never ends it', async () => {
    api.handle = ({ query }) => (query.has('limit') ? listOf('7', [configMap('a', '1')]) : undefined)
    const { informer, codes } = start()
    await api.nextWatch()
    await until(() => clock.delays.includes(15_000))
    await clock.advance(15_000)
    await informer.whenSynced()
    expect([informer.size, codes()]).toEqual([1, ['Silent']])
    expect((await api.nextWatch()).query.get('resourceVersion')).toBe('7')
  })

  it('starts anew when it is cut off before it is complete, and shows nothing half', async () => {
    const { informer, events } = start()
    const first = await api.nextWatch()
    first.send('ADDED', configMap('a', '1'))
    first.cut()
    const second = await watchAfterBackoff(1000)
    expect([sendsAll(second), informer.synced]).toEqual([true, false])
    second.send('ADDED', configMap('b', '2'))
    second.bookmark('10', true)
    await informer.whenSynced()
    expect(events).toEqual(['initial added default/b'])
  })

  it('can be waited for with a signal', async () => {
    const { informer } = start()
    const wait = new AbortController()
    const waiting = expect(informer.whenSynced(wait.signal)).rejects.toMatchObject({ code: 'Aborted' })
    wait.abort()
    await waiting
  })
})

describe('a watch that ends', () => {
  it('goes on from the last event or bookmark, at once, without listing', async () => {
    const { watch, events } = await filled()
    watch.send('ADDED', configMap('c', '11'))
    watch.bookmark('20')
    watch.end()
    const next = await api.nextWatch()
    expect([next.query.get('resourceVersion'), sendsAll(next)]).toEqual(['20', false])
    next.send('MODIFIED', configMap('c', '21'))
    await until(() => events.length === 4)
    next.cut()
    const third = await watchAfterBackoff(1000)
    expect(third.query.get('resourceVersion')).toBe('21')
    expect([events.slice(2), lists()]).toEqual([['added default/c', 'modified default/c'], 0])
  })

  it('does not spin where each watch ends at once', async () => {
    const { watch } = await filled()
    watch.end()
    const waits: number[] = []
    for (let time = 0; time < 4; time += 1) {
      const next = await watchAfterBackoff(20_000)
      const before = clock.now()
      next.end()
      await until(() => backoffs().length > 0)
      waits.push(backoffs()[0] ?? 0, clock.now() - before)
    }
    expect(waits).toEqual([100, 0, 200, 0, 400, 0, 800, 0])
  })

  it('is cut within a line: the half event is not believed', async () => {
    const { watch, events, codes, informer } = await filled()
    const half = JSON.stringify({ type: 'DELETED', object: configMap('a', '11') })
    watch.write(half.slice(0, half.length / 2))
    watch.end()
    const next = await watchAfterBackoff(1000)
    expect([next.query.get('resourceVersion'), codes(), informer.size, events.length]).toEqual(['10', ['Unreachable'], 2, 2])
    next.write(half.slice(0, 20))
    await settle()
    next.write(`${half.slice(20)}\n`)
    await until(() => events.length === 3)
    expect(events.at(-1)).toBe('deleted default/a')
  })

  it.each<[string, Answer]>([
    ['an error', status(500, 'InternalError')],
    ['no connection', 'cut'],
    ['no rights', status(403, 'Forbidden')],
    ['a page of a proxy', { status: 404, body: '<html>' }],
  ])('meets %s: it keeps what it knows and watches again, ever more slowly, without listing', async (_, answer) => {
    const { watch, informer, events, errors } = await filled()
    let watches = 0
    api.handle = ({ query }) => {
      if (!query.has('watch')) return undefined
      watches += 1
      return watches <= 3 ? answer : undefined
    }
    const before = clock.now()
    watch.cut()
    const next = await watchAfterBackoff(5000)
    expect(clock.now() - before).toBeGreaterThanOrEqual(400)
    expect([next.query.get('resourceVersion'), lists(), informer.size, informer.synced, events.length]).toEqual(['10', 0, 2, true, 2])
    expect(errors.length).toBe(4)
  })

  it('waits as long as a busy server asks', async () => {
    const { watch } = await filled()
    let refused = false
    api.handle = ({ query }) => {
      if (!query.has('watch') || refused) return undefined
      refused = true
      return { status: 429, body: '', headers: { 'retry-after': '7' } }
    }
    const before = clock.now()
    watch.cut()
    await watchAfterBackoff(10_000)
    expect(clock.now() - before).toBeGreaterThanOrEqual(7000)
  })

  it('meets an absent server: it keeps what it knows and goes on when the server is back', async () => {
    const { watch, informer, codes } = await filled()
    api.away = true
    watch.cut()
    for (let time = 0; time < 100; time += 1) await clock.advance(100)
    expect([informer.size, informer.synced]).toEqual([2, true])
    expect(informer.lastActivityMs).toBeGreaterThanOrEqual(10_000)
    api.away = false
    const next = await watchAfterBackoff(20_000)
    expect([next.query.get('resourceVersion'), lists()]).toEqual(['10', 0])
    expect(new Set(codes())).toEqual(new Set(['Unreachable']))
    next.bookmark('11')
    await until(() => informer.lastActivityMs === 0)
  })
})

describe('a version that is too old', () => {
  it.each<[string, (watch: FakeWatch) => void, boolean]>([
    ['said within the watch', (watch) => watch.send('ERROR', statusObject(410, 'Expired')), false],
    ['said as an answer', (watch) => watch.end(), true],
  ])('%s: everything is read anew, and what went away meanwhile is told', async (_, bring, answered) => {
    const { watch, informer, events } = await filled()
    let gone = answered
    api.handle = ({ query }) => {
      if (!gone || query.get('resourceVersion') !== '10') return undefined
      gone = false
      return status(410, 'Gone')
    }
    await clock.advance(60_000)
    bring(watch)
    const next = await api.nextWatch()
    expect(sendsAll(next)).toBe(true)
    next.send('ADDED', configMap('b', '15'))
    next.send('ADDED', configMap('c', '14'))
    await settle()
    expect(informer.get('default/a')).toBeDefined()
    next.bookmark('20', true)
    await until(() => events.length === 5)
    expect(events.slice(2)).toEqual(['deleted default/a', 'modified default/b', 'added default/c'])
  })

  it('does not spin where it is always too old', async () => {
    const { watch } = await filled()
    watch.send('ERROR', statusObject(410, 'Expired'))
    const before = clock.now()
    for (let time = 0; time < 4; time += 1) {
      const next = await watchAfterBackoff(20_000)
      next.bookmark('20', true)
      next.send('ERROR', statusObject(410, 'Expired'))
      await until(() => next.closed)
    }
    expect(clock.now() - before).toBeGreaterThanOrEqual(200 + 400 + 800)
  })

  it('tells an object that was replaced by another of the same name as both', async () => {
    const { watch, events } = await filled()
    await clock.advance(60_000)
    watch.send('ERROR', statusObject(410, 'Expired'))
    const next = await api.nextWatch()
    next.send('ADDED', configMap('a', '15', {}, 'another'))
    next.send('ADDED', configMap('b', '2'))
    next.bookmark('20', true)
    await until(() => events.length === 4)
    expect(events.slice(2)).toEqual(['deleted default/a', 'added default/a'])
  })
})

describe('silence', () => {
  it('ends the watch and starts it again from where it was; when that is silent too, everything is read anew', async () => {
    const { watch, codes, informer } = await filled({ silenceMs: 120_000 })
    await until(() => clock.delays.includes(120_000))
    await clock.advance(60_000)
    watch.bookmark('11')
    await until(() => informer.lastActivityMs === 0)
    await settle()
    await clock.advance(119_999)
    expect(codes()).toEqual([])
    await clock.advance(1)
    const second = await api.nextWatch()
    expect([codes(), watch.closed, second.query.get('resourceVersion')]).toEqual([['Silent'], true, '11'])
    await until(() => clock.delays.includes(120_000))
    await clock.advance(120_000)
    expect(sendsAll(await api.nextWatch())).toBe(true)
  })
})

describe('mistakes of others', () => {
  it('goes on where a listener throws, and tells of it', async () => {
    const { informer, watch, events, errors } = await filled()
    const end = informer.onChange(() => {
      throw new Error('listener')
    })
    watch.send('ADDED', configMap('c', '11'))
    await until(() => events.length === 3)
    end()
    watch.send('ADDED', configMap('d', '12'))
    await until(() => events.length === 4)
    await until(() => errors.length === 1)
  })

  it('does not believe lines that are no events', async () => {
    const { watch, codes, informer } = await filled()
    let at = watch
    for (const line of ['nonsense', '{"type":"DELETED"}', '{"type":"ADDED","object":{"metadata":{}}}', '[1]']) {
      at.write(`${line}\n`)
      at = await watchAfterBackoff(5000)
      expect(at.query.get('resourceVersion')).toBe('10')
    }
    expect([informer.size, new Set(codes())]).toEqual([2, new Set(['BadResponse'])])
  })

  it('runs once', async () => {
    const { informer } = await filled()
    await expect(informer.run(stop.signal)).rejects.toMatchObject({ code: 'Config' })
  })

  it('leaves no timer and no connection behind', async () => {
    const { watch } = await filled()
    stop.abort()
    await running
    await until(() => watch.closed)
    expect(clock.delays).toEqual([])
  })
})
