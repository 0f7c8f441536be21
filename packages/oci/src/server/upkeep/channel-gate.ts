import { matches } from '../pattern.ts'

/**
 * Channels say what clusters need. While retention removes something, no channel changes; and it sees whether one changed since it
 * looked. Channels are never held up for longer than the removal from one repository takes.
 */
export class ChannelGate {
  readonly #pattern: string | undefined
  /** Changes of channels so far. */
  version = 0
  #inside = 0
  #shut: Promise<void> | undefined
  #left: (() => void)[] = []

  constructor(pattern: string | undefined) {
    this.#pattern = pattern
  }

  isChannel(repository: string): boolean {
    return this.#pattern !== undefined && matches(this.#pattern, repository)
  }

  /** Changes a repository; one of a channel waits while retention removes. */
  async enter<T>(repository: string, work: () => Promise<T>): Promise<T> {
    if (!this.isChannel(repository)) return work()
    while (this.#shut !== undefined) await this.#shut
    this.#inside += 1
    this.version += 1
    try {
      return await work()
    } finally {
      this.#inside -= 1
      this.version += 1
      for (const left of this.#left.splice(0)) left()
    }
  }

  /** Runs while no channel changes. Channels go first: it begins when none is on its way. */
  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#inside > 0 || this.#shut !== undefined) {
      await (this.#shut ?? new Promise<void>((resolve) => this.#left.push(resolve)))
    }
    let open: () => void = () => {}
    this.#shut = new Promise((resolve) => {
      open = resolve
    })
    try {
      return await work()
    } finally {
      this.#shut = undefined
      open()
    }
  }
}
