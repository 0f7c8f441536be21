import type { DependencyState } from '@muster/api'

/** What the hub last said of releases in other clusters, and when. Memory only: what is not known is asked again with the next report. */
export class RemoteReleases {
  readonly #states = new Map<string, DependencyState>()
  readonly #startedAt: Date
  #answeredAt: Date | undefined

  /** @param startedAt since when the hub could have answered */
  constructor(startedAt: Date) {
    this.#startedAt = startedAt
  }

  /** Takes the hub's answer to a report: all that it knows. Tells whether anything is other than before. */
  take(states: readonly DependencyState[], now: Date): boolean {
    const before = JSON.stringify([...this.#states.values()].map(essence))
    this.#answeredAt = now
    this.#states.clear()
    for (const state of states) this.#states.set(`${state.cluster}/${state.release}`, state)
    return before !== JSON.stringify([...this.#states.values()].map(essence))
  }

  /** Whether a release in another cluster is ready, and how that is known. What is old, or was never said, is not ready. */
  standing(cluster: string, release: string, now: Date): { readonly ready: boolean; readonly cycle: boolean; readonly message: string } {
    const unknown = (message: string) => ({ ready: false, cycle: false, message })
    if (this.#answeredAt === undefined)
      return unknown(`unknown since ${this.#startedAt.toISOString()}: the hub has not answered since the agent started`)
    const silentMs = now.getTime() - this.#answeredAt.getTime()
    if (Math.abs(silentMs) > maxAgeMs) return unknown(`unknown since ${this.#answeredAt.toISOString()}: the hub does not answer`)
    const state = this.#states.get(`${cluster}/${release}`)
    if (state === undefined) return unknown('the hub does not know yet that it is depended on')
    if (silentMs + (state.ageSeconds ?? 0) * 1000 > maxAgeMs) {
      const since = state.observedAt === undefined ? '' : ` since ${state.observedAt}`
      return unknown(`unknown${since}: ${cluster} does not report`)
    }
    return { ready: state.ready, cycle: state.reason === 'DependencyCycle', message: `${state.reason}: ${state.message}` }
  }
}

/** What was known longer ago than this, in milliseconds, may have changed: it is unknown. Agents report every 10 s. */
const maxAgeMs = 60_000

/** What of a state makes a difference: not its age. */
function essence({ ageSeconds: _age, observedAt: _at, ...rest }: DependencyState): unknown {
  return rest
}
