import { type Backoff, backoffDelay, itemBackoff } from './backoff.ts'
import { type Clock, systemClock } from './clock.ts'

/** Keys that wait; beyond it `add` refuses. */
const defaultLimit = 100_000

export interface WorkQueueOptions {
  /** Most keys that may wait, for their turn or for their time. */
  readonly limit?: number | undefined
  readonly backoff?: Backoff | undefined
  readonly clock?: Clock | undefined
}

/** `low` is for what need not be quick, such as the first list: it yields to what has really changed. */
export type Priority = 'normal' | 'low'

interface Delayed {
  readonly at: number
  readonly cancel: () => void
}

/**
 * A queue of keys. A key waits at most once; a key that is being worked on is never given to a second worker, and comes again
 * if it was added meanwhile. Source: client-go's workqueue, as its documentation describes it.
 */
export class WorkQueue {
  readonly #limit: number
  readonly #backoff: Backoff
  readonly #clock: Clock
  readonly #normal = new Set<string>()
  readonly #low = new Set<string>()
  readonly #active = new Set<string>()
  /** Keys that were added while they were worked on. */
  readonly #again = new Map<string, Priority>()
  readonly #delayed = new Map<string, Delayed>()
  readonly #failures = new Map<string, number>()
  readonly #workers = new Set<(key: string | undefined) => void>()
  #closed = false

  constructor(options: WorkQueueOptions = {}) {
    this.#limit = options.limit ?? defaultLimit
    this.#backoff = options.backoff ?? itemBackoff
    this.#clock = options.clock ?? systemClock
  }

  /** Keys that could be worked on now. */
  get waiting(): number {
    return this.#normal.size + this.#low.size
  }

  /** Keys whose time has not come. */
  get delayed(): number {
    return this.#delayed.size
  }

  /** Keys that are being worked on. */
  get active(): number {
    return this.#active.size
  }

  /** Adds a key. False: not taken, as the queue is full or closed. */
  add(key: string, priority: Priority = 'normal'): boolean {
    if (this.#closed) return false
    if (this.#active.has(key)) {
      if (priority === 'normal' || !this.#again.has(key)) this.#again.set(key, priority)
      return true
    }
    if (this.#normal.has(key)) return true
    const moved = this.#low.has(key)
    if (moved && priority === 'low') return true
    if (!moved && this.#full()) return false
    this.#low.delete(key)
    const [worker] = this.#workers
    if (worker) {
      this.#workers.delete(worker)
      this.#active.add(key)
      worker(key)
    } else if (priority === 'low') this.#low.add(key)
    else this.#normal.add(key)
    return true
  }

  /** Adds a key when some milliseconds have gone by. Of several times for one key the earliest counts. */
  addAfter(key: string, ms: number): boolean {
    if (ms <= 0) return this.add(key)
    if (this.#closed) return false
    const at = this.#clock.now() + ms
    const known = this.#delayed.get(key)
    if (known && known.at <= at) return true
    if (!known && this.#full()) return false
    known?.cancel()
    const cancel = this.#clock.after(ms, () => {
      this.#delayed.delete(key)
      this.add(key)
    })
    this.#delayed.set(key, { at, cancel })
    return true
  }

  /** Adds a key after its backoff, which doubles each time, or after `atLeastMs` if that is longer. */
  retry(key: string, atLeastMs = 0): boolean {
    const failures = this.#failures.get(key) ?? 0
    this.#failures.set(key, failures + 1)
    return this.addAfter(key, Math.max(atLeastMs, backoffDelay(this.#backoff, failures, this.#clock.random)))
  }

  /** Ends the backoff of a key. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  /** How often a key was retried since it was last forgotten. */
  failures(key: string): number {
    return this.#failures.get(key) ?? 0
  }

  /** The next key, when there is one; `undefined` when the queue is closed. Each key given must be given back to `done`. */
  next(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    const from = this.#normal.size > 0 ? this.#normal : this.#low
    const [key] = from
    if (key === undefined) return new Promise((resolve) => this.#workers.add(resolve))
    from.delete(key)
    this.#active.add(key)
    return Promise.resolve(key)
  }

  /** Says that a worker is through with a key. */
  done(key: string): void {
    this.#active.delete(key)
    const again = this.#again.get(key)
    this.#again.delete(key)
    if (again) this.add(key, again)
  }

  /** Ends the queue: what waits is dropped, workers get `undefined`. */
  close(): void {
    this.#closed = true
    for (const { cancel } of this.#delayed.values()) cancel()
    for (const worker of this.#workers) worker(undefined)
    for (const keys of [this.#normal, this.#low, this.#again, this.#delayed, this.#failures, this.#workers]) keys.clear()
  }

  #full(): boolean {
    return this.waiting + this.#delayed.size >= this.#limit
  }
}
