import type { DependencyState } from '@muster/api'

/** What the hub last said of releases in other clusters, and when. Memory only: what is not known is asked again with the next report. */
export class RemoteReleases {
  readonly #states = new Map<string, DependencyState>()
  readonly #startedAt: Date
  #answered: { readonly at: Date; readonly generation: number } | undefined

  /** @param startedAt since when the hub could have answered */
  constructor(startedAt: Date) {
    this.#startedAt = startedAt
  }

  /**
   * Takes the hub's answer to a report: all that it knows. Tells whether anything is other than before.
   * @param generation of the channel that the cluster had when it reported
   */
  take(states: readonly DependencyState[], generation: number, now: Date): boolean {
    const before = JSON.stringify([this.#answered?.generation, ...[...this.#states.values()].map(essence)])
    this.#answered = { at: now, generation }
    this.#states.clear()
    for (const state of states) this.#states.set(`${state.cluster}/${state.release}`, state)
    return before !== JSON.stringify([generation, ...[...this.#states.values()].map(essence)])
  }

  /**
   * Whether a release in another cluster is ready, and how that is known. What is old, or was never said, is not ready.
   * @param generation of the channel by which it is depended on: what the hub said before it may be of what was wanted before
   */
  standing(
    cluster: string,
    release: string,
    generation: number,
    now: Date,
  ): { readonly ready: boolean; readonly cycle: boolean; readonly message: string } {
    const unknown = (message: string) => ({ ready: false, cycle: false, message })
    if (this.#answered === undefined)
      return unknown(`unknown since ${this.#startedAt.toISOString()}: the hub has not answered since the agent started`)
    const { at } = this.#answered
    const silentMs = now.getTime() - at.getTime()
    if (Math.abs(silentMs) > maxAgeMs) return unknown(`unknown since ${at.toISOString()}: the hub does not answer`)
    if (this.#answered.generation < generation)
      return unknown(`unknown since ${at.toISOString()}: the hub has not answered since generation ${generation} of the channel came`)
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
