import { createHash } from 'node:crypto'
import type { KubeClient } from './client.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import { KubeError } from './error.ts'
import { microTime } from './micro-time.ts'
import type { Ref, TypedObject } from './object.ts'
import { TokenBucket } from './token-bucket.ts'

/** Different events that wait to be written; more are dropped. */
const pendingLimit = 1_000
/** Events of one kind within this time are one series, in milliseconds; as in client-go. */
const seriesMs = 360_000
/** A series is written at most this often, in milliseconds. */
const seriesWriteMs = 10_000
/** Longest note that the API server takes, in bytes. */
const noteLimit = 1_024
/** Where the API server takes events about objects without a namespace; elsewhere it refuses them. */
const clusterEvents = 'default'
/** Per object: this many events at once, then one in this time. */
const objectBurst = 25
const objectRefillMs = 60_000
/** For all together. */
const totalBurst = 100
const totalRefillMs = 200

export interface EventRecorderOptions {
  /** Name of the controller, such as `muster.dev/agent`. */
  readonly controller: string
  /** Which instance of it, such as the pod's name. */
  readonly instance: string
  readonly onError?: ((error: unknown) => void) | undefined
  readonly clock?: Clock | undefined
}

export interface EventInput {
  readonly type: 'Normal' | 'Warning'
  /** Why: a documented constant in UpperCamelCase, at most 128 characters. */
  readonly reason: string
  /** What happened, for people. */
  readonly note: string
  /** What was done: UpperCamelCase, at most 128 characters. */
  readonly action: string
}

/** One event, and how often it came since. */
interface Series {
  readonly name: string
  readonly namespace: string
  readonly body: TypedObject & Record<string, unknown>
  count: number
  firstAt: number
  lastAt: Date
  /** The count that the server knows; 0: nothing yet. */
  written: number
  writtenAt: number
}

/**
 * Tells in the cluster what happened to an object. `event` returns at once; `run` (add it to the Manager) writes.
 * The same event again becomes a series. What is too much is dropped and counted: events are a courtesy, never a record.
 * Source: events.k8s.io/v1, KEP-383.
 */
export class EventRecorder {
  readonly name = 'events'
  readonly #client: Pick<KubeClient, 'create' | 'patch'>
  readonly #options: EventRecorderOptions
  readonly #clock: Clock
  readonly #series = new Map<string, Series>()
  readonly #objects = new Map<string, TokenBucket>()
  readonly #total: TokenBucket
  #wake = new AbortController()
  #dropped = 0

  constructor(client: Pick<KubeClient, 'create' | 'patch'>, options: EventRecorderOptions) {
    this.#client = client
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#total = new TokenBucket(totalBurst, totalRefillMs, this.#clock)
  }

  /** Events that were not written as there were too many. */
  get dropped(): number {
    return this.#dropped
  }

  event(regarding: TypedObject | Ref, input: EventInput): void {
    const reference = referenceTo(regarding)
    const object = JSON.stringify(reference)
    const key = JSON.stringify([object, input.type, input.reason, input.action, input.note])
    const now = this.#clock.now()
    const known = this.#series.get(key)
    if (known && now - known.firstAt < seriesMs) {
      known.count += 1
      known.lastAt = this.#clock.date()
    } else if (this.#series.size >= pendingLimit || !this.#bucket(object).take()) {
      this.#dropped += 1
      return
    } else this.#series.set(key, this.#start(reference, input, key, now))
    this.#wake.abort()
  }

  /** Writes events until the signal is aborted, then what waits, for a short time. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = new AbortController()
      const again = await this.#flush(signal)
      await this.#sleep(again, signal)
    }
    const last = AbortSignal.timeout(2_000)
    for (const series of this.#series.values()) if (!last.aborted && series.written < series.count) await this.#write(series, last)
  }

  /** Writes what is due. Gives when to look again, in milliseconds; `undefined`: when there is something new. */
  async #flush(signal: AbortSignal): Promise<number | undefined> {
    let again: number | undefined
    for (const [key, series] of this.#series) {
      if (signal.aborted) return undefined
      const now = this.#clock.now()
      const due = series.written === 0 ? 0 : series.writtenAt + seriesWriteMs - now
      if (series.written === series.count) {
        const left = series.firstAt + seriesMs - now
        if (left <= 0) this.#series.delete(key)
        else again = Math.min(again ?? left, left)
      } else if (due > 0) again = Math.min(again ?? due, due)
      else if (!this.#total.take()) return totalRefillMs
      else await this.#write(series, signal)
    }
    for (const [object, bucket] of this.#objects) if (bucket.full) this.#objects.delete(object)
    return again
  }

  async #write(series: Series, signal: AbortSignal): Promise<void> {
    const { count, name, namespace } = series
    series.writtenAt = this.#clock.now()
    try {
      const state = count > 1 ? { series: { count, lastObservedTime: microTime(series.lastAt) } } : {}
      const ref = { apiVersion: 'events.k8s.io/v1', kind: 'Event', name, namespace }
      if (series.written === 0) await this.#client.create({ ...series.body, ...state }, { signal })
      else await this.#client.patch(ref, state, { type: 'merge', signal })
    } catch (error) {
      // not tried again: a server in trouble has better things to do
      if (!signal.aborted) this.#options.onError?.(error)
      this.#dropped += 1
    }
    series.written = count
  }

  async #sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    const woken = AbortSignal.any([signal, this.#wake.signal])
    await pause(ms ?? seriesMs, woken, this.#clock)
  }

  #bucket(object: string): TokenBucket {
    const known = this.#objects.get(object)
    if (known) return known
    const bucket = new TokenBucket(objectBurst, objectRefillMs, this.#clock)
    this.#objects.set(object, bucket)
    return bucket
  }

  #start(regarding: Record<string, string>, input: EventInput, key: string, now: number): Series {
    const namespace = regarding['namespace'] ?? clusterEvents
    const date = this.#clock.date()
    const eventTime = microTime(date)
    const hash = createHash('sha256').update(`${key}${eventTime}${this.#options.instance}`).digest('hex').slice(0, 16)
    const name = `${(regarding['name'] ?? '').slice(0, 200).replace(/[^a-z0-9.-]/g, '-')}.${hash}`
    const body = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace },
      eventTime,
      reportingController: this.#options.controller,
      reportingInstance: this.#options.instance.slice(0, 128),
      action: input.action,
      reason: input.reason,
      type: input.type,
      note: clip(input.note),
      regarding,
    }
    return { name, namespace, body, count: 1, firstAt: now, lastAt: date, written: 0, writtenAt: 0 }
  }
}

function referenceTo(what: TypedObject | Ref): Record<string, string> {
  if (!('metadata' in what)) {
    const { apiVersion, kind, name, namespace } = what
    return { apiVersion, kind, name, ...(namespace ? { namespace } : {}) }
  }
  const { name, namespace, uid, resourceVersion: _ } = what.metadata
  if (!name) throw new KubeError('Invalid', `An event needs the name of its ${what.kind}.`)
  return { apiVersion: what.apiVersion, kind: what.kind, name, ...(namespace ? { namespace } : {}), ...(uid ? { uid } : {}) }
}

/** Cuts text to the limit without cutting a character. */
function clip(note: string): string {
  const bytes = Buffer.from(note)
  if (bytes.length <= noteLimit) return note
  return `${new TextDecoder().decode(bytes.subarray(0, noteLimit - 3), { stream: true })}…`
}
