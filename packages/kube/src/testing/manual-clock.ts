import type { Clock } from '../clock.ts'

interface Timer {
  readonly at: number
  readonly ms: number
  readonly run: () => void
}

/** A clock that a test moves by hand. */
export class ManualClock implements Clock {
  readonly #start: number
  #timers: Timer[] = []
  #now = 0
  /** What `random` gives. */
  chance = 0

  constructor(start = '2026-01-02T03:04:05.000Z') {
    this.#start = Date.parse(start)
  }

  now = (): number => this.#now

  date = (): Date => new Date(this.#start + this.#now)

  random = (): number => this.chance

  after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: this.#now + ms, ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
  }

  /** The delays that somebody waits for, shortest first. */
  get delays(): number[] {
    return this.#timers.map(({ ms }) => ms).sort((one, other) => one - other)
  }

  /** Lets time go by; what is due runs in order, each with the work that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0]
      if (!next) break
      this.#now = next.at
      this.#timers = this.#timers.filter((one) => one !== next)
      next.run()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

/** Lets promises that are ready run. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits for something that other work brings about; fails after 10 s of real time. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > end) throw new Error(`this never came true: ${condition.toString()}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}
