import { Controller, type EventRecorder, type InformerEvent, type KubeObject } from '@muster/kube'
import { ApplyRefusal, applyObject, type Drift, describeDrift, entryOf, managersOf, nameOf, unionInventory } from '@muster/reconcile'
import type { Clock } from './clock.ts'
import { CorrectionLimit } from './drift-limit.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'
import type { Releases } from './release/releases.ts'
import type { ReleaseRuntime } from './release/runtime.ts'
import type { Tenancy } from './tenancy.ts'
import type { Observed } from './watches.ts'

export interface DriftKeeperOptions {
  /** As whom a release's objects are kept. */
  readonly tenancy: Pick<Tenancy, 'keeping'>
  readonly releases: Releases
  readonly events: Pick<EventRecorder, 'event'>
  readonly clock: Clock
  readonly logger: Logger
  /** Told when a release's drift or inventory changed. */
  readonly changed: (runtime: ReleaseRuntime) => void
}

const workers = 4
const terminatingAgainMs = 250

/** Keeps every object of every release as it was signed. */
export class DriftKeeper {
  readonly controller: Controller
  readonly #options: DriftKeeperOptions
  readonly #limit = new CorrectionLimit()

  constructor(options: DriftKeeperOptions) {
    this.#options = options
    this.controller = new Controller({
      name: 'drift',
      concurrency: workers,
      reconcile: (key, signal) => this.#correct(key, signal),
      onError: (error, key) =>
        options.logger.warn({ object: key, code: codeOf(error), reason: messageOf(error) }, 'drift could not be corrected yet'),
    })
  }

  /** Judges what a watch saw. Cheap: one comparison for an object that is as it should be. */
  saw({ type, object }: Pick<InformerEvent<Observed>, 'type' | 'object'>): void {
    const runtime = this.#options.releases.ownerOf(object.key)
    const tracked = runtime?.tracked.get(object.key)
    if (runtime === undefined || tracked?.ownership === undefined) return
    if (type !== 'deleted' && object.ownership === tracked.ownership && !object.added) return
    this.controller.enqueue(object.key)
  }

  /** Asks for a closer look at an object. */
  suspect(key: string): void {
    this.controller.enqueue(key)
  }

  /** Records an object that was brought back: an event on it, and the release's tally. */
  corrected(runtime: ReleaseRuntime, drift: Drift, object: KubeObject): void {
    const { clock, events, logger, changed } = this.#options
    const note = describeDrift(drift)
    const manager = managersOf(drift)[0]
    runtime.drift = {
      corrected: runtime.drift.corrected + 1,
      lastAt: clock.now().toISOString(),
      lastObject: nameOf(drift.ref),
      ...(manager === undefined ? {} : { lastManager: manager }),
    }
    events.event(object, { type: 'Warning', reason: 'DriftCorrected', note, action: 'Apply' })
    logger.warn({ release: runtime.name, object: nameOf(drift.ref), managers: managersOf(drift), detail: note }, 'corrected drift')
    changed(runtime)
  }

  async #correct(key: string, signal: AbortSignal): Promise<{ requeueAfterMs: number } | undefined> {
    const { clock, releases, tenancy } = this.#options
    const runtime = releases.ownerOf(key)
    const tracked = runtime?.tracked.get(key)
    // Not ours any more, or being applied just now for the first time: nothing to keep it at.
    if (runtime === undefined || tracked?.ownership === undefined) return undefined
    if (runtime.suspended !== undefined) return undefined
    const wait = this.#limit.delay(key, clock.now().getTime())
    if (wait > 0) {
      this.#drifting(runtime, key)
      return { requeueAfterMs: wait }
    }
    let again: number | undefined
    const done = await runtime.correct(async () => {
      try {
        const applied = await applyObject(tenancy.keeping(runtime.tenant), tracked.planned.object, {
          release: runtime.name,
          accepted: true,
          expect: 'present',
          signal,
        })
        tracked.ownership = applied.ownership
        const { uid, generation } = applied.object.metadata
        tracked.last = {
          ...tracked.last,
          object: tracked.planned.object,
          ownership: applied.ownership,
          ...(uid === undefined ? {} : { uid }),
        }
        if (generation !== undefined) tracked.generation = generation
        if (uid !== undefined && uid !== tracked.uid) {
          tracked.uid = uid
          if (tracked.planned.ours) runtime.inventory = unionInventory(runtime.inventory, [entryOf(applied.object, applied.ownership)])
        }
        runtime.drifting.delete(key)
        if (applied.difference === undefined) return
        this.#limit.corrected(key, clock.now().getTime())
        this.corrected(runtime, applied.difference, applied.object)
      } catch (error) {
        this.#drifting(runtime, key)
        if (error instanceof ApplyRefusal && error.code === 'Terminating') again = terminatingAgainMs
        else throw error
      }
    })
    // An apply of the release brings it back itself; look again when it is done.
    if (done === 'applying') return { requeueAfterMs: terminatingAgainMs }
    return again === undefined ? undefined : { requeueAfterMs: again }
  }

  #drifting(runtime: ReleaseRuntime, key: string): void {
    if (runtime.drifting.has(key)) return
    runtime.drifting.add(key)
    this.#options.changed(runtime)
  }
}
