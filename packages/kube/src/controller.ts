import type { Backoff } from './backoff.ts'
import { type Clock, pause, systemClock } from './clock.ts'
import { startDeadline } from './deadline.ts'
import { KubeError } from './error.ts'
import type { Informer } from './informer.ts'
import type { InformerEvent } from './store.ts'
import { TerminalError } from './terminal-error.ts'
import { type Priority, WorkQueue } from './work-queue.ts'

/** Time for one reconcile, in milliseconds. */
const defaultTimeoutMs = 300_000
/** Time that reconciles under way get to end by themselves when the controller stops, in milliseconds. */
const defaultDrainMs = 5_000

/** What a reconcile may ask for: to come again after some milliseconds. */
export interface ReconcileResult {
  readonly requeueAfterMs?: number | undefined
}

/**
 * Brings one object from what is to what should be. Level-based: it gets a name, reads the present state, and may run at any time.
 * It throws what went wrong (and is repeated with backoff), or a {@link TerminalError} (and waits for the next change).
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a reconcile that wants nothing returns nothing
export type Reconcile = (key: string, signal: AbortSignal) => Promise<ReconcileResult | undefined | void>

export interface ControllerOptions {
  readonly name: string
  readonly reconcile: Reconcile
  /** How many keys are worked on at once. Never one key twice. */
  readonly concurrency?: number | undefined
  readonly backoff?: Backoff | undefined
  /** Most keys that may wait. When it was full, all objects of the watched informers come again later. */
  readonly limit?: number | undefined
  readonly timeoutMs?: number | undefined
  readonly drainMs?: number | undefined
  /** Told of each reconcile that failed, and of nothing else. */
  readonly onError?: ((error: unknown, key: string) => void) | undefined
  readonly clock?: Clock | undefined
}

/** How reconciles ended, since the start. All counts exist from the beginning, so that a rate over them is never missing. */
export interface ControllerStats {
  readonly success: number
  readonly requeue: number
  readonly error: number
  readonly terminal: number
  readonly active: number
  readonly waiting: number
  readonly delayed: number
}

/** The keys that a change concerns; none: it concerns nobody. */
export type MapEvent<T> = (event: InformerEvent<T>) => Iterable<string> | string | undefined

/** Calls `reconcile` for each key that was enqueued, by itself or by a change that an informer saw. */
export class Controller {
  readonly name: string
  readonly #reconcile: Reconcile
  readonly #concurrency: number
  readonly #timeoutMs: number
  readonly #drainMs: number
  readonly #limit: number
  readonly #onError: (error: unknown, key: string) => void
  readonly #clock: Clock
  readonly #queue: WorkQueue
  readonly #sources: { readonly synced: (signal: AbortSignal) => Promise<void>; readonly keys: () => Iterable<string> }[] = []
  readonly #counts = { success: 0, requeue: 0, error: 0, terminal: 0 }
  /** Something was refused: all objects must come again. */
  #overflowed = false
  /** The keys that are coming again, as there is room. */
  #backlog: Iterator<string> | undefined
  #held: string | undefined

  constructor(options: ControllerOptions) {
    this.name = options.name
    this.#reconcile = options.reconcile
    this.#concurrency = options.concurrency ?? 1
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs
    this.#drainMs = options.drainMs ?? defaultDrainMs
    this.#limit = options.limit ?? 100_000
    this.#onError = options.onError ?? (() => {})
    this.#clock = options.clock ?? systemClock
    this.#queue = new WorkQueue({ limit: this.#limit, backoff: options.backoff, clock: this.#clock })
  }

  get stats(): ControllerStats {
    const { active, waiting, delayed } = this.#queue
    return { ...this.#counts, active, waiting, delayed }
  }

  /** Asks for a reconcile. False: the queue is full; what informers know comes again by itself, other keys are lost. */
  enqueue(key: string, priority: Priority = 'normal'): boolean {
    const taken = this.#queue.add(key, priority)
    if (!taken) this.#overflowed = true
    return taken
  }

  /** Reconciles what changes in an informer; by default the changed object itself. Call it before `run`. */
  watches<T>(informer: Informer<T>, map: MapEvent<T> = (event) => event.key): this {
    const keysOf = (event: InformerEvent<T>): Iterable<string> => {
      const keys = map(event) ?? []
      return typeof keys === 'string' ? [keys] : keys
    }
    informer.onChange((event) => {
      for (const key of keysOf(event)) this.enqueue(key, event.initial ? 'low' : 'normal')
    })
    this.#sources.push({
      synced: (signal) => informer.whenSynced(signal),
      *keys() {
        for (const [key, object] of informer.entries()) yield* keysOf({ type: 'modified', key, object })
      },
    })
    return this
  }

  /** Waits for its informers (somebody else runs them), then works until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController()
    const close = () => {
      this.#queue.close()
      void pause(this.#drainMs, stop.signal, this.#clock).then(() => stop.abort(signal.reason))
    }
    if (signal.aborted) return
    signal.addEventListener('abort', close, { once: true })
    try {
      await Promise.all(this.#sources.map(({ synced }) => synced(signal)))
      await Promise.all(Array.from({ length: this.#concurrency }, () => this.#work(stop.signal)))
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      signal.removeEventListener('abort', close)
      stop.abort()
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (let key = await this.#queue.next(); key !== undefined; key = await this.#queue.next()) {
      await this.#one(key, signal)
      this.#queue.done(key)
      this.#refill()
    }
  }

  /** After a full queue, adds all keys that the informers know, as many as there is room for. */
  #refill(): void {
    if (!this.#backlog && this.#overflowed) {
      this.#overflowed = false
      this.#backlog = this.#allKeys()
    }
    while (this.#backlog) {
      this.#held ??= this.#backlog.next().value
      if (this.#held === undefined) this.#backlog = undefined
      else if (this.#queue.add(this.#held, 'low')) this.#held = undefined
      else return
    }
  }

  *#allKeys(): Generator<string, undefined> {
    for (const { keys } of this.#sources) yield* keys()
    return undefined
  }

  async #one(key: string, signal: AbortSignal): Promise<void> {
    const deadline = startDeadline(this.#timeoutMs, signal, this.#clock)
    try {
      const result = await this.#reconcile(key, deadline.signal)
      this.#queue.forget(key)
      const after = result?.requeueAfterMs
      this.#counts[after === undefined ? 'success' : 'requeue'] += 1
      if (after !== undefined && !this.#queue.addAfter(key, after)) this.#overflowed = true
    } catch (error) {
      // what was stopped did not fail
      if (signal.aborted) return
      const terminal = error instanceof TerminalError
      this.#counts[terminal ? 'terminal' : 'error'] += 1
      if (terminal) this.#queue.forget(key)
      else if (!this.#queue.retry(key, error instanceof KubeError ? error.retryAfterMs : 0)) this.#overflowed = true
      this.#report(error, key)
    } finally {
      deadline.release()
    }
  }

  #report(error: unknown, key: string): void {
    try {
      this.#onError(error, key)
    } catch {
      // whoever listens to errors must not stop the work
    }
  }
}
