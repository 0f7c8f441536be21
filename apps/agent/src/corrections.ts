/** Corrections of one manager's changes to an object that are made at once; from then on each waits longer. */
const atOnce = 4
const baseMs = 500
const maxMs = 5 * 60_000
/** So many times by the same manager in the same field is a fight. */
const fightAt = 5
/** A manager that left the object alone for so long, in milliseconds, starts anew. Longer than any wait. */
const quietMs = 10 * 60_000
const maxObjects = 10_000
const maxManagers = 16

/** An object that was brought back, and from what. */
export interface Correction {
  readonly atMs: number
  /** Field managers; none where the API server keeps no trace. */
  readonly managers: readonly string[]
  /** Which fields, as people read them. */
  readonly paths: readonly string[]
}

/** Two that write the same field again and again: this agent, and another. */
export interface Fight {
  /** Absent where the API server keeps no trace of who it is. */
  readonly manager: string | undefined
  readonly paths: readonly string[]
  readonly times: number
  readonly sinceMs: number
  readonly lastMs: number
  /** How long the agent waits between corrections now, in milliseconds. */
  readonly waitMs: number
}

interface Bout {
  readonly manager: string | undefined
  paths: readonly string[]
  times: number
  sinceMs: number
  lastMs: number
}

/** Whether the other one has left it alone since. */
export function isOver({ lastMs }: Pick<Fight, 'lastMs'>, nowMs: number): boolean {
  return nowMs - lastMs >= quietMs
}

/**
 * What was corrected, by whom it had been changed. A person's single mistake must not wait; two that fight over a field must not keep
 * the API server busy for ever, and somebody should be told who they are.
 */
export class Corrections {
  readonly #bouts = new Map<string, Map<string, Bout>>()

  /** How long to wait before the next correction of an object, in milliseconds. */
  delay(key: string, nowMs: number): number {
    const waits = this.#live(key, nowMs).map(({ times, lastMs }) => {
      const wait = waitAfter(times)
      // A clock that was set back makes nobody wait longer.
      return Math.min(wait, lastMs + wait - nowMs)
    })
    return Math.max(0, ...waits)
  }

  record(key: string, { atMs, managers, paths }: Correction): void {
    const bouts = this.#bouts.get(key) ?? new Map<string, Bout>()
    // The one that was corrected longest ago comes first, and is forgotten first.
    this.#bouts.delete(key)
    this.#bouts.set(key, bouts)
    for (const oldest of this.#bouts.keys()) {
      if (this.#bouts.size <= maxObjects) break
      this.#bouts.delete(oldest)
    }
    for (const manager of managers.length === 0 ? [undefined] : managers) {
      const id = manager ?? ''
      const known = bouts.get(id)
      const common = known?.paths.filter((path) => paths.includes(path)) ?? []
      if (known !== undefined && atMs - known.lastMs < quietMs && common.length > 0) {
        known.paths = common
        known.times += 1
        known.lastMs = atMs
      } else if (bouts.size < maxManagers || known !== undefined) bouts.set(id, { manager, paths, times: 1, sinceMs: atMs, lastMs: atMs })
    }
  }

  /** Who fights over an object. */
  fights(key: string, nowMs: number): Fight[] {
    return this.#live(key, nowMs)
      .filter(({ times }) => times >= fightAt)
      .map(({ manager, paths, times, sinceMs, lastMs }) => ({ manager, paths, times, sinceMs, lastMs, waitMs: waitAfter(times) }))
  }

  #live(key: string, nowMs: number): Bout[] {
    return [...(this.#bouts.get(key)?.values() ?? [])].filter((bout) => !isOver(bout, nowMs))
  }
}

function waitAfter(times: number): number {
  return times < atOnce ? 0 : Math.min(maxMs, baseMs * 2 ** Math.min(times - atOnce, 20))
}
