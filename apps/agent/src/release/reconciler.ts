import { releaseReasons } from '@muster/api'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import { assess, assessRelease } from './assess.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import { waitForDependencies } from './depend.ts'
import { orGrantEnded } from './grant.ts'
import { install, keepWhatRuns } from './install.ts'
import { pruneLeftovers } from './leftovers.ts'
import { recheck, resyncMs, settleMs } from './recheck.ts'
import { bearsGeneration } from './release-object.ts'
import { remove } from './remove.ts'
import { Interrupted, type Outcome, type ReleaseRuntime, targetOf } from './runtime.ts'
import { readSite, tellSite, withSite } from './site-overlays.ts'
import { orStale } from './stale.ts'

/** The way of a release, in order. Each step does one thing and is written so that it may be repeated at any time. */
const steps: readonly Step[] = [waitForDependencies, readSite, install, recheck, assess, pruneLeftovers]

export interface Wanted {
  readonly content: ChannelContent
  /** ISO 8601 */
  readonly expiresAt: string
  /** Nothing new is taken from it, and nothing is pruned for it. */
  readonly expired: boolean
}

/** Brings one release to what the channel says. Level-based: it looks at what is, whatever it was called for. */
export class ReleaseReconciler {
  readonly #services: ReleaseServices
  readonly #wanted: () => Wanted | undefined
  readonly #changed: (runtime: ReleaseRuntime) => void

  constructor(services: ReleaseServices, wanted: () => Wanted | undefined, changed: (runtime: ReleaseRuntime) => void) {
    this.#services = services
    this.#wanted = wanted
    this.#changed = changed
  }

  async reconcile(name: string, stop: AbortSignal): Promise<{ requeueAfterMs?: number } | undefined> {
    const wanted = this.#wanted()
    // Without a channel that was verified nothing is known, so nothing is done.
    if (wanted === undefined) return undefined
    const runtime = this.#services.releases.of(name)
    const site = this.#services.siteOverlays.of(name)
    const entry = withSite(
      wanted.content.releases.find((release) => release.name === name),
      site,
    )
    const signal = runtime.work(stop, targetOf(entry))
    try {
      const outcome = await this.#pass(runtime, wanted, entry, site, signal)
      return outcome?.requeueAfterMs === undefined ? undefined : { requeueAfterMs: outcome.requeueAfterMs }
    } catch (error) {
      if (stop.aborted || !(signal.reason instanceof Interrupted)) throw error
      // Something newer is wanted: look again at once.
      return { requeueAfterMs: 0 }
    }
  }

  async #pass(
    runtime: ReleaseRuntime,
    { content, expired, expiresAt }: Wanted,
    entry: ChannelRelease | undefined,
    site: ReleaseContext['site'],
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const { objects } = this.#services
    if (entry === undefined) {
      const outcome = await remove(this.#services, runtime, content, { expired, signal })
      if (outcome === undefined) {
        this.#changed(runtime)
        return undefined
      }
      this.#tell(runtime, outcome)
      await objects.write(runtime.name, runtime, outcome, signal)
      return outcome
    }
    runtime.tenant = entry.settings?.tenant
    const context: ReleaseContext = {
      runtime,
      entry,
      site,
      content,
      expiredAt: expired ? expiresAt : undefined,
      signal,
      live: objects.get(entry.name),
    }
    const outcome = orStale(orGrantEnded(await this.#walk(context), this.#services, context), context.expiredAt)
    this.#tell(runtime, outcome)
    const waitMs = this.#settling(runtime, outcome)
    await tellSite(this.#services, context, outcome)
    if (waitMs > 0) return { ...outcome, requeueAfterMs: waitMs }
    await objects.ensure(entry, runtime, content.generation, { newest: bearsGeneration(content, entry.name), signal })
    await objects.write(entry.name, runtime, outcome, signal)
    const again = outcome.requeueAfterMs ?? resyncMs
    return { ...outcome, requeueAfterMs: runtime.rechecked ? again : Math.min(again, settleMs) }
  }

  /** How long, in milliseconds, a state that was just applied may take to become another before it is written down at all. */
  #settling({ appliedAtMs, applied, complete }: ReleaseRuntime, { ready, reason }: Outcome): number {
    if (ready || reason !== releaseReasons.progressing || applied === undefined || !complete) return 0
    return Math.max(0, appliedAtMs + settleMs - this.#services.clock.now().getTime())
  }

  async #walk(context: ReleaseContext): Promise<Outcome> {
    for (const step of steps) {
      const outcome = await step(this.#services, context)
      if (outcome === undefined) continue
      if (step === waitForDependencies) await keepWhatRuns(this.#services, context)
      return outcome
    }
    return assessRelease(context.runtime, this.#services.watches)
  }

  #tell(runtime: ReleaseRuntime, outcome: Outcome): void {
    const { outcome: before } = runtime
    runtime.outcome = outcome
    const same =
      before !== undefined && before.ready === outcome.ready && before.reason === outcome.reason && before.message === outcome.message
    if (same) return
    this.#services.logger.info(
      { release: runtime.name, ready: outcome.ready, reason: outcome.reason, detail: outcome.message },
      'a release stands anew',
    )
    this.#changed(runtime)
  }
}
