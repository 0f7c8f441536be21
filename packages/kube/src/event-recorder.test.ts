import { describe, expect, it } from 'vitest'
import { KubeError } from './error.ts'
import { EventRecorder } from './event-recorder.ts'
import type { KubeObject, Ref } from './object.ts'
import { configMap } from './testing/fake-api-server.ts'
import { ManualClock, settle } from './testing/manual-clock.ts'

function make() {
  const created: KubeObject[] = []
  const patched: { ref: Ref; patch: unknown }[] = []
  const state = { down: false }
  const client = {
    create: async (object: KubeObject) => {
      if (state.down) throw new KubeError('Unreachable', 'down')
      created.push(object)
      return object
    },
    patch: async (ref: Ref, patch: unknown) => void patched.push({ ref, patch }),
  } as unknown as ConstructorParameters<typeof EventRecorder>[0]
  const clock = new ManualClock()
  const errors: unknown[] = []
  const recorder = new EventRecorder(client, {
    controller: 'muster.dev/agent',
    instance: 'agent-1',
    clock,
    onError: (error) => errors.push(error),
  })
  const stop = new AbortController()
  const ended = recorder.run(stop.signal)
  return { created, patched, state, clock, errors, recorder, stop, ended }
}

const applied = { type: 'Normal', reason: 'Applied', note: 'it was applied', action: 'Apply' } as const

describe('EventRecorder', () => {
  it('tells what happened to an object, where it is', async () => {
    const { recorder, created, stop, ended } = make()
    recorder.event(configMap('a', '1'), applied)
    await settle()
    expect(created).toEqual([
      {
        apiVersion: 'events.k8s.io/v1',
        kind: 'Event',
        metadata: { namespace: 'default', name: expect.stringMatching(/^a\.[0-9a-f]{16}$/) as string },
        eventTime: '2026-01-02T03:04:05.000000Z',
        reportingController: 'muster.dev/agent',
        reportingInstance: 'agent-1',
        regarding: { apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: 'default', uid: 'uid-a' },
        ...applied,
      },
    ])
    stop.abort()
    await ended
  })

  it('puts events about objects without a namespace into the default one', async () => {
    const { recorder, created, stop, ended } = make()
    recorder.event({ apiVersion: 'v1', kind: 'Node', name: 'n' }, applied)
    await settle()
    expect(created[0]?.metadata.namespace).toBe('default')
    stop.abort()
    await ended
  })

  it('makes one series of the same event again and again, and writes it seldom', async () => {
    const { recorder, created, patched, clock, stop, ended } = make()
    recorder.event(configMap('a', '1'), applied)
    await settle()
    for (let time = 0; time < 50; time += 1) {
      recorder.event(configMap('a', '1'), applied)
      await clock.advance(100)
    }
    await clock.advance(10_000)
    expect(created).toHaveLength(1)
    expect(patched.map(({ patch }) => patch)).toEqual([{ series: { count: 51, lastObservedTime: '2026-01-02T03:04:09.900000Z' } }])
    expect(patched[0]?.ref.name).toBe(created[0]?.metadata.name)
    stop.abort()
    await ended
  })

  it('starts a new event when a series is old', async () => {
    const { recorder, created, clock, stop, ended } = make()
    recorder.event(configMap('a', '1'), applied)
    await clock.advance(360_000)
    recorder.event(configMap('a', '1'), applied)
    await settle()
    expect(new Set(created.map((event) => event.metadata.name)).size).toBe(2)
    stop.abort()
    await ended
  })

  it('drops what one object tells too much, and lets others speak', async () => {
    const { recorder, created, clock, stop, ended } = make()
    for (let time = 0; time < 100; time += 1) recorder.event(configMap('loud', '1'), { ...applied, note: `note ${time}` })
    recorder.event(configMap('quiet', '1'), applied)
    await clock.advance(1000)
    expect([created.length, recorder.dropped]).toEqual([26, 75])
    stop.abort()
    await ended
  })

  it('gives up an event that the server does not take, and goes on', async () => {
    const { recorder, created, state, errors, stop, ended } = make()
    state.down = true
    recorder.event(configMap('a', '1'), applied)
    await settle()
    state.down = false
    recorder.event(configMap('b', '1'), applied)
    await settle()
    expect([errors.length, created.length, recorder.dropped]).toEqual([1, 1, 1])
    stop.abort()
    await ended
  })

  it('writes what waits before it ends', async () => {
    const { recorder, created, patched, stop, ended } = make()
    recorder.event(configMap('a', '1'), applied)
    await settle()
    recorder.event(configMap('a', '1'), applied)
    stop.abort()
    await ended
    expect([created.length, patched.length]).toEqual([1, 1])
  })

  it('cuts a note to what the server takes, at a character', async () => {
    const { recorder, created, stop, ended } = make()
    recorder.event(configMap('a', '1'), { ...applied, note: 'ü'.repeat(2000) })
    await settle()
    const note = String(created[0]?.['note'])
    expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024)
    expect(note).toMatch(/^ü+…$/)
    stop.abort()
    await ended
  })
})
