import { Controller, type EventRecorder, type InformerEvent, type KubeObject } from '@muster/kube'
import {
  type Applied,
  ApplyRefusal,
  applyObject,
  type Drift,
  describeDrift,
  entryOf,
  fieldManager,
  managersOf,
  nameOf,
  ownedValuesHash,
  pathsOf,
  refOf,
  renewedInventory,
} from '@muster/reconcile'
import type { Clock } from './clock.ts'
import { Corrections } from './corrections.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'
import { asTold, correctedIn, detectedIn } from './release/drift-tally.ts'
import type { Releases } from './release/releases.ts'
import type { ReleaseRuntime, Tracked } from './release/runtime.ts'
import type { Tenancy } from './tenancy.ts'
import { isAsJudged, judgementOf, type Observed } from './watches.ts'

export interface DriftKeeperOptions {
  /** As whom a release's objects are kept. */
  readonly tenancy: Pick<Tenancy, 'keeping'>
  readonly releases: Releases
  readonly events: Pick<EventRecorder, 'event'>
  readonly clock: Clock
  readonly logger: Logger
  /** Told when a release's drift or inventory changed. */
  readonly changed: (runtime: ReleaseRuntime) => void
  /** Told of each object that was looked at closely. */
  readonly touched: () => void
}

const workers = 4
const terminatingAgainMs = 250

/** Keeps every object of every release as it was signed, or says that it is not. */
export class DriftKeeper {
  readonly controller: Controller
  readonly #options: DriftKeeperOptions
  readonly #corrections = new Corrections()

  constructor(options: DriftKeeperOptions) {
    this.#options = options
    this.controller = new Controller({
      name: 'drift',
      concurrency: workers,
      reconcile: (key, signal) => this.#correct(key, signal).finally(options.touched),
      onError: (error, key) => {
        const reason = options.releases.ownerOf(key)?.discreet(messageOf(error)) ?? messageOf(error)
        options.logger.warn({ object: key, code: codeOf(error), reason }, 'drift could not be corrected yet')
      },
    })
  }

  /** Judges what a watch saw. Cheap: one comparison for an object that is as it should be. */
  saw({ type, object }: Pick<InformerEvent<Observed>, 'type' | 'object'>): void {
    const runtime = this.#options.releases.ownerOf(object.key)
    const tracked = runtime?.tracked.get(object.key)
    if (runtime === undefined || tracked?.ownership === undefined) return
    if (type !== 'deleted' && isAsJudged(tracked, object)) return
    this.controller.enqueue(object.key)
  }

  /** Asks for a closer look at an object. */
  suspect(key: string): void {
    this.controller.enqueue(key)
  }

  /** Takes note of what an apply or an inspection of an object that was applied before found. */
  found(runtime: ReleaseRuntime, key: string, applied: Applied): void {
    const { clock } = this.#options
    const now = clock.now()
    const { yielded = [] } = applied
    const before = runtime.yielded.get(key) ?? []
    if (yielded.length === 0) runtime.yielded.delete(key)
    else runtime.yielded.set(key, yielded)
    if (applied.difference === undefined) {
      if (runtime.drifting.delete(key) || before.join() !== yielded.join()) this.#options.changed(runtime)
      return
    }
    if (runtime.corrects) {
      runtime.drifting.delete(key)
      this.#corrections.record(key, { atMs: now.getTime(), managers: managersOf(applied.difference), paths: pathsOf(applied.difference) })
      this.#fights(runtime, key, now)
      this.#corrected(runtime, applied.difference, applied.object)
    } else this.#detected(runtime, key, applied.difference, applied.object)
  }

  #corrected(runtime: ReleaseRuntime, drift: Drift, object: KubeObject): void {
    const { clock, events, logger, changed } = this.#options
    const note = describeDrift(drift)
    runtime.drift = correctedIn(runtime.drift, drift, clock.now())
    events.event(object, { type: 'Warning', reason: 'DriftCorrected', note, action: 'Apply' })
    logger.warn({ release: runtime.name, object: nameOf(drift.ref), managers: managersOf(drift), detail: note }, 'corrected drift')
    changed(runtime)
  }

  #detected(runtime: ReleaseRuntime, key: string, drift: Drift, object: KubeObject): void {
    const { clock, events, logger, changed } = this.#options
    const found = asTold(drift)
    const known = runtime.drifting.get(key)
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(found)) return
    runtime.drifting.set(key, found)
    runtime.drift = detectedIn(runtime.drift, drift, clock.now())
    const note = describeDrift(drift, 'detected')
    events.event(drift.type === 'Deleted' ? refOf(object) : object, { type: 'Warning', reason: 'DriftDetected', note, action: 'Watch' })
    logger.warn({ release: runtime.name, object: nameOf(drift.ref), managers: managersOf(drift), detail: note }, 'detected drift')
    changed(runtime)
  }

  /** Takes up who fights over an object, and tells of a fight when it begins. */
  #fights(runtime: ReleaseRuntime, key: string, now: Date): void {
    const { events, logger } = this.#options
    const tracked = runtime.tracked.get(key)
    const fights = this.#corrections.fights(key, now.getTime())
    if (tracked === undefined || fights.length === 0) {
      runtime.fights.delete(key)
      return
    }
    const begins = !runtime.fights.has(key)
    const ref = refOf(tracked.planned.object)
    runtime.fights.set(key, fights)
    if (!begins) return
    const [{ manager, paths, times }] = fights as [(typeof fights)[0]]
    const who = manager === undefined ? 'Somebody whom the API server does not name' : `Field manager "${manager}"`
    const note = `${who} writes ${paths.join(', ')} of ${nameOf(ref)} again and again (${times} times): corrections are made ever more slowly.`
    events.event(ref, { type: 'Warning', reason: 'Fighting', note, action: 'Apply' })
    logger.warn({ release: runtime.name, object: nameOf(ref), manager, paths, times }, 'another controller fights over a field')
  }

  async #correct(key: string, signal: AbortSignal): Promise<{ requeueAfterMs: number } | undefined> {
    const { clock, releases } = this.#options
    const runtime = releases.ownerOf(key)
    const tracked = runtime?.tracked.get(key)
    // Not ours any more, or being applied just now for the first time: nothing to keep it at.
    if (runtime === undefined || tracked?.ownership === undefined) return undefined
    if (runtime.suspended !== undefined) return undefined
    const wait = this.#corrections.delay(key, clock.now().getTime())
    if (wait > 0 && runtime.corrects) {
      this.#waits(runtime, key, tracked)
      return { requeueAfterMs: wait }
    }
    let again: number | undefined
    const done = await runtime.correct(async () => {
      try {
        await this.#apply(runtime, key, tracked, signal)
      } catch (error) {
        this.#waits(runtime, key, tracked)
        if (error instanceof ApplyRefusal && error.code === 'Terminating') again = terminatingAgainMs
        else throw error
      }
    })
    // An apply of the release brings it back itself; look again when it is done.
    if (done === 'applying') return { requeueAfterMs: terminatingAgainMs }
    return again === undefined ? undefined : { requeueAfterMs: again }
  }

  async #apply(runtime: ReleaseRuntime, key: string, tracked: Tracked, signal: AbortSignal): Promise<void> {
    const { tenancy, clock } = this.#options
    const applied = await applyObject(tenancy.keeping(runtime.tenant), tracked.planned.object, {
      release: runtime.name,
      accepted: true,
      expect: 'present',
      tolerances: runtime.driftPolicy.tolerances,
      nowMs: clock.now().getTime(),
      inspect: !runtime.corrects,
      signal,
    })
    tracked.judged = judgementOf(applied.object)
    if (runtime.corrects) {
      const values = ownedValuesHash(applied.object, fieldManager)
      tracked.ownership = applied.ownership
      tracked.values = values
      const { uid, generation } = applied.object.metadata
      tracked.last = {
        ...tracked.last,
        object: tracked.planned.object,
        ownership: applied.ownership,
        values,
        ...(uid === undefined ? {} : { uid }),
      }
      if (generation !== undefined) tracked.generation = generation
      if (uid !== undefined) tracked.uid = uid
      // With what stands for it as it is now: an agent that starts anew then finds it as it was applied, and sends nothing.
      if (tracked.planned.ours) runtime.inventory = renewedInventory(runtime.inventory, entryOf(applied.object, applied.ownership))
    }
    this.found(runtime, key, applied)
  }

  /** It differs, and is brought back later. */
  #waits(runtime: ReleaseRuntime, key: string, { planned }: Tracked): void {
    if (runtime.drifting.has(key)) return
    runtime.drifting.set(key, { object: nameOf(refOf(planned.object)), paths: [] })
    this.#options.changed(runtime)
  }
}
