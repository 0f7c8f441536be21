import { type Clock, pause, systemClock } from './clock.ts'
import { KubeError } from './error.ts'
import { Informer } from './informer.ts'

/** Time for everything to stop, in milliseconds. */
const defaultStopMs = 30_000

/** Something that runs until its signal is aborted. */
export interface Runnable {
  readonly name?: string
  run(signal: AbortSignal): Promise<void>
}

/** Started in this order, stopped in the reverse one: what serves others (probes, webhooks), then views, then what acts. */
const stages = ['servers', 'caches', 'workers'] as const
export type Stage = (typeof stages)[number]

export interface AddOptions {
  /** Default: `caches` for an Informer, else `workers`. */
  readonly stage?: Stage | undefined
  /** Workers wait until this instance leads, unless this is false. */
  readonly needsLeader?: boolean | undefined
}

/** What the manager needs of a leader election. */
export interface Leadership extends Runnable {
  /** Resolves when this instance leads. */
  whenLeading(signal: AbortSignal): Promise<void>
}

export interface ManagerOptions {
  readonly leaderElector?: Leadership | undefined
  readonly stopMs?: number | undefined
  readonly clock?: Clock | undefined
}

interface Member {
  readonly runnable: Runnable
  readonly stage: Stage
  readonly needsLeader: boolean
}

interface Running {
  readonly stop: AbortController
  readonly members: { readonly name: string; ended: boolean; readonly end: Promise<void> }[]
}

/** Runs the parts of a process: starts them in order, and ends all when one fails or the signal is aborted. */
export class Manager {
  readonly #members: Member[] = []
  readonly #elector: Leadership | undefined
  readonly #stopMs: number
  readonly #clock: Clock
  #started = false

  constructor(options: ManagerOptions = {}) {
    this.#elector = options.leaderElector
    this.#stopMs = options.stopMs ?? defaultStopMs
    this.#clock = options.clock ?? systemClock
  }

  /** Adds a part. Call it before `run`. */
  add(runnable: Runnable, options: AddOptions = {}): this {
    if (this.#started) throw new KubeError('Config', 'The manager runs already. Add everything before run.')
    const stage = options.stage ?? (runnable instanceof Informer ? 'caches' : 'workers')
    this.#members.push({ runnable, stage, needsLeader: options.needsLeader ?? stage === 'workers' })
    return this
  }

  /**
   * Runs until the signal is aborted, then stops everything in reverse order within `stopMs`.
   * Throws what a part threw (all others are stopped first), `LeaderLost`, or `Timeout` naming the parts that did not stop.
   */
  async run(signal: AbortSignal): Promise<void> {
    this.#started = true
    const halt = new AbortController()
    const failures: unknown[] = []
    const fail = (error: unknown) => {
      failures.push(error)
      halt.abort(error)
    }
    const follow = () => halt.abort(signal.reason)
    if (signal.aborted) return
    signal.addEventListener('abort', follow, { once: true })
    const running: Running[] = []
    try {
      for (const stage of ['servers', 'caches'] as const) running.push(this.#start(this.#of(stage), fail))
      const free = this.#of('workers').filter((member) => !this.#elector || !member.needsLeader)
      running.push(this.#start(free, fail))
      if (this.#elector) {
        running.push(this.#start([{ runnable: this.#elector, stage: 'workers', needsLeader: false }], fail))
        await this.#elector.whenLeading(halt.signal).catch((error: unknown) => {
          if (!halt.signal.aborted) fail(error)
        })
        if (!halt.signal.aborted) {
          running.push(
            this.#start(
              this.#of('workers').filter((member) => member.needsLeader),
              fail,
            ),
          )
        }
      }
      if (!halt.signal.aborted) await new Promise<void>((resolve) => halt.signal.addEventListener('abort', () => resolve(), { once: true }))
    } finally {
      signal.removeEventListener('abort', follow)
    }
    const stuck = await this.#stop(running)
    if (failures.length > 0) throw failures[0]
    if (stuck.length > 0)
      throw new KubeError('Timeout', `These did not stop within ${this.#stopMs} ms: ${stuck.join(', ')}. End the process.`)
  }

  #of(stage: Stage): Member[] {
    return this.#members.filter((member) => member.stage === stage)
  }

  #start(members: readonly Member[], fail: (error: unknown) => void): Running {
    const stop = new AbortController()
    return {
      stop,
      members: members.map(({ runnable }) => {
        const member = { name: runnable.name ?? runnable.constructor.name, ended: false, end: Promise.resolve() }
        member.end = runnable
          .run(stop.signal)
          .catch((error: unknown) => {
            if (!stop.signal.aborted) fail(error)
          })
          .finally(() => {
            member.ended = true
          })
        return member
      }),
    }
  }

  /** Gives the names of those that did not end in time. */
  async #stop(running: readonly Running[]): Promise<string[]> {
    const timer = new AbortController()
    const late = pause(this.#stopMs, timer.signal, this.#clock)
    for (const { stop, members } of [...running].reverse()) {
      stop.abort(new DOMException('the process stops', 'AbortError'))
      await Promise.race([Promise.all(members.map(({ end }) => end)), late])
    }
    timer.abort()
    return running.flatMap(({ members }) => members.filter(({ ended }) => !ended).map(({ name }) => name))
  }
}
