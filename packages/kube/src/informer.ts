import { type Backoff, backoffDelay, connectionBackoff } from './backoff.ts'
import { defaultSilenceMs, type KubeClient } from './client.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import { KubeError } from './error.ts'
import { describe, type KubeObject, type Selection } from './object.ts'
import { orAborted } from './or-aborted.ts'
import { type InformerEvent, Store } from './store.ts'
import type { View } from './view.ts'

/** A fill that says nothing for so long, in milliseconds, is done by LIST: the server may not know WatchList. */
const fillSilenceMs = 15_000
/** A watch that lasted so long, in milliseconds, did not fail. A new fill so soon after the last one waits longer each time. */
const steadyMs = 10_000
/** After so many silent watches in a row, the version may be one that this server never had (a restored backup). */
const silentLimit = 2

/** What the informer needs of a client. */
export type InformerClient = Pick<KubeClient, 'pages' | 'watch'> & Partial<Pick<KubeClient, 'silenceMs' | 'views'>>

export interface InformerOptions<T> extends Selection {
  /** What is kept of an object: the less, the less memory. Default: all but managedFields. */
  readonly project?: ((object: KubeObject) => T) | undefined
  /** Told of each failure of the watch (it goes on by itself) and of each listener that threw. */
  readonly onError?: ((error: unknown) => void) | undefined
  /** Longest time that a watch may be silent, in milliseconds. Default: as the client says. */
  readonly silenceMs?: number | undefined
  readonly backoff?: Backoff | undefined
  readonly clock?: Clock | undefined
}

/**
 * A live copy of all objects of a selection. An outage never empties it: it keeps what it knew until the server gives a complete new list.
 * Source: API concepts "Streaming lists" (KEP-3157), "Efficient detection of changes".
 */
export class Informer<T = KubeObject> implements View {
  readonly #client: InformerClient
  readonly #what: Selection
  readonly #clock: Clock
  readonly #backoff: Backoff
  readonly #silenceMs: number
  readonly #project: (object: KubeObject) => T
  readonly #onError: (error: unknown) => void
  readonly #store: Store<T>
  readonly #listeners = new Set<(event: InformerEvent<T>) => void>()
  readonly #synced = Promise.withResolvers<void>()
  #isSynced = false
  #running = false
  /** Where the next watch goes on; none: everything must be read anew. */
  #resourceVersion: string | undefined
  #useWatchList = true
  #listOnce = false
  /** Events, bookmarks and pages so far. */
  #heard = 0
  #lastActivity: number | undefined
  #lastFill: number | undefined
  #silent = 0
  #failures = 0
  #quickFills = 0

  constructor(client: InformerClient, options: InformerOptions<T>) {
    const { apiVersion, kind, namespace, labelSelector, fieldSelector } = options
    this.#client = client
    this.#what = { apiVersion, kind, namespace, labelSelector, fieldSelector }
    this.#clock = options.clock ?? systemClock
    this.#backoff = options.backoff ?? connectionBackoff
    this.#silenceMs = options.silenceMs ?? client.silenceMs ?? defaultSilenceMs
    this.#project = options.project ?? (dropManagedFields as (object: KubeObject) => T)
    this.#onError = options.onError ?? (() => {})
    this.#store = new Store(this.#project)
  }

  get selection(): Selection {
    return this.#what
  }

  /** What is watched, for messages. */
  get name(): string {
    return describe({ kind: this.#what.kind })
  }

  /** True once the view was complete; stays true through outages. */
  get synced(): boolean {
    return this.#isSynced
  }

  get size(): number {
    return this.#store.size
  }

  /** Milliseconds since the server last said something of this kind (infinite before). Grows beyond some minutes only in an outage. */
  get lastActivityMs(): number {
    return this.#lastActivity === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - this.#lastActivity
  }

  /** An object by `namespace/name`, or `name`. Do not change it. */
  get(key: string): T | undefined {
    return this.#store.get(key)
  }

  list(): T[] {
    return [...this.#store.entries()].map(([, object]) => object)
  }

  /** Keys with their objects. */
  entries(): IterableIterator<[string, T]> {
    return this.#store.entries()
  }

  /** Tells of each change from now on; the returned function ends it. A listener must return at once. */
  onChange(listener: (event: InformerEvent<T>) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Waits until the view is complete. Throws `Aborted`. */
  async whenSynced(signal?: AbortSignal): Promise<void> {
    await orAborted(this.#synced.promise, signal, `the first list of ${this.name}`)
  }

  /** Keeps the view until the signal is aborted; failures are retried for ever, with backoff. */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#running) throw new KubeError('Config', `The informer of ${this.name} runs already. Start it once.`)
    this.#running = true
    this.#client.views?.add(this)
    try {
      while (!signal.aborted) {
        const wait = await this.#round(signal)
        if (wait > 0) await pause(wait, signal, this.#clock)
      }
    } finally {
      this.#running = false
      this.#client.views?.delete(this)
    }
  }

  /** One watch, from its start to its end. Gives how long to wait before the next one, in milliseconds. */
  async #round(signal: AbortSignal): Promise<number> {
    const started = this.#clock.now()
    const heard = this.#heard
    let failure: KubeError | undefined
    try {
      await this.#follow(signal)
    } catch (error) {
      if (signal.aborted) return 0
      // what is thrown by a projection is a mistake in the program, but must not end the view
      failure =
        error instanceof KubeError
          ? error
          : new KubeError('BadResponse', `An object of ${this.name} could not be taken in.`, { cause: error })
      this.#onError(failure)
    }
    const progressed = this.#heard > heard
    if (progressed) this.#silent = 0
    const worked = progressed || this.#clock.now() - started > steadyMs
    if (worked) this.#failures = 0
    return failure ? this.#recover(failure) : worked ? 0 : this.#delay()
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const filling = this.#resourceVersion === undefined
    if (filling) this.#lastFill = this.#clock.now()
    const listing = filling && (!this.#useWatchList || this.#listOnce)
    if (listing) await this.#fillByList(signal)
    let fill = filling && !listing ? new Store<T>(this.#project) : undefined
    const watch = this.#client.watch(this.#what, {
      signal,
      silenceMs: () => (fill ? fillSilenceMs : this.#silenceMs),
      ...(fill ? { sendInitialEvents: true } : { resourceVersion: this.#resourceVersion }),
    })
    for await (const event of watch) {
      this.#hear()
      if (event.type === 'BOOKMARK') {
        if (fill && !event.initialEventsEnd) continue
        this.#resourceVersion = event.resourceVersion
        if (!fill) continue
        this.#complete(fill)
        fill = undefined
      } else {
        const target = fill ?? this.#store
        const events = event.type === 'DELETED' ? target.remove(event.object) : target.put(event.object)
        if (fill) continue
        this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion
        this.#tell(events)
      }
    }
  }

  #hear(): void {
    this.#heard += 1
    this.#lastActivity = this.#clock.now()
  }

  async #fillByList(signal: AbortSignal): Promise<void> {
    const fill = new Store<T>(this.#project)
    let version: string | undefined
    for await (const page of this.#client.pages(this.#what, { signal })) {
      this.#hear()
      version = page.resourceVersion
      for (const item of page.items) fill.put(item)
    }
    this.#listOnce = false
    this.#resourceVersion = version
    this.#complete(fill)
  }

  #complete(fill: Store<T>): void {
    const events = this.#store.swap(fill)
    const first = !this.#isSynced
    this.#isSynced = true
    this.#tell(first ? events.map((event) => ({ ...event, initial: true as const })) : events)
    if (first) this.#synced.resolve()
  }

  #tell(events: readonly InformerEvent<T>[]): void {
    for (const event of events) {
      for (const listener of this.#listeners) {
        try {
          listener(event)
        } catch (error) {
          this.#onError(error)
        }
      }
    }
  }

  /** Decides how to go on after a failure: from where, and when. */
  #recover(error: KubeError): number {
    if (this.#resourceVersion === undefined) return this.#recoverFill(error)
    if (error.code === 'Silent') {
      this.#silent += 1
      if (this.#silent < silentLimit) return 0
    }
    const unknownVersion = error.details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge') ?? false
    if (error.code === 'Gone' || error.code === 'Silent' || unknownVersion) {
      this.#resourceVersion = undefined
      this.#silent = 0
      const soon = this.#lastFill !== undefined && this.#clock.now() - this.#lastFill < steadyMs
      this.#quickFills = soon ? this.#quickFills + 1 : 0
      if (soon) return backoffDelay(this.#backoff, this.#quickFills, this.#clock.random)
      return 0
    }
    return Math.max(this.#delay(), error.retryAfterMs ?? 0)
  }

  #recoverFill(error: KubeError): number {
    if (this.#useWatchList && (error.code === 'Invalid' || error.code === 'NotSupported')) {
      this.#useWatchList = false
      return 0
    }
    if (this.#useWatchList && error.code === 'Silent') {
      this.#listOnce = true
      return 0
    }
    return Math.max(this.#delay(), error.retryAfterMs ?? 0)
  }

  #delay(): number {
    const delay = backoffDelay(this.#backoff, this.#failures, this.#clock.random)
    this.#failures += 1
    return delay
  }
}

/** A copy without managedFields; the object itself is left as it is. */
function dropManagedFields(object: KubeObject): KubeObject {
  const { managedFields: _, ...metadata } = object.metadata
  return { ...object, metadata }
}
