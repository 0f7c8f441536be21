import { releaseReasons } from '@muster/api'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import { assess, assessRelease } from './assess.ts'
import type { ReleaseContext, ReleaseServices, Step } from './context.ts'
import { waitForDependencies } from './depend.ts'
import { driftPolicyOf } from './drift-policy.ts'
import { endTolerances } from './end-tolerances.ts'
import { endHooks, runFailureHooks } from './failure-hooks.ts'
import { orFighting } from './fighting.ts'
import { orGrantEnded } from './grant.ts'
import { isRefusal } from './handover.ts'
import { hindered } from './hindered.ts'
import { recordHistory } from './history.ts'
import { foresee, install, keepWhatRuns } from './install.ts'
import { pruneLeftovers } from './leftovers.ts'
import { obeySite, suspensionOf } from './obey.ts'
import { recheck, resyncMs, settleMs } from './recheck.ts'
import { bearsGeneration } from './release-object.ts'
import { remove } from './remove.ts'
import { judge, obeyRollback } from './rollback.ts'
import { Interrupted, type Outcome, type ReleaseRuntime, saidOf, targetOf } from './runtime.ts'
import { demandKnownHold, orHeld, reconcileNow, suspend, suspendedRemoval, takeSuspension } from './site.ts'
import { readSite, tellSite, withSite } from './site-overlays.ts'
import { orStale } from './stale.ts'
import { renewWishes } from './wishes.ts'

/** The way of a release, in order. Each step does one thing and is written so that it may be repeated at any time. */
const steps: readonly Step[] = [
  suspend,
  demandKnownHold,
  waitForDependencies,
  readSite,
  endHooks,
  runFailureHooks,
  install,
  endTolerances,
  recheck,
  assess,
  pruneLeftovers,
]

/** Steps before anything is applied: what ran before goes on beside them. */
const waits: ReadonlySet<Step> = new Set([demandKnownHold, waitForDependencies])

/** What the site says is read within less than this, in milliseconds, or there is a reason that must be told. */
const readingMs = 30_000

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
  /** Since when what the site says is being read. */
  #readingSinceMs: number | undefined
  #entries: { readonly of: ChannelContent; readonly byName: ReadonlyMap<string, ChannelRelease> } | undefined

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
    const entry = withSite(this.#entry(wanted.content, name), site)
    runtime.driftPolicy = driftPolicyOf(entry?.settings)
    const signal = runtime.work(stop, targetOf(entry))
    try {
      const outcome = await this.#pass(runtime, wanted, entry, site, signal)
      return outcome?.requeueAfterMs === undefined ? undefined : { requeueAfterMs: outcome.requeueAfterMs }
    } catch (error) {
      if (stop.aborted) throw error
      if (!(signal.reason instanceof Interrupted)) {
        const outcome = hindered(runtime, entry, error)
        if (outcome !== undefined) this.#tell(runtime, outcome, wanted.content)
        throw error
      }
      // Something newer is wanted: look again at once.
      return { requeueAfterMs: 0 }
    }
  }

  /** What the channel says of a release. */
  #entry(content: ChannelContent, name: string): ChannelRelease | undefined {
    if (this.#entries?.of !== content)
      this.#entries = { of: content, byName: new Map(content.releases.map((release) => [release.name, release])) }
    return this.#entries.byName.get(name)
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
      const live = objects.get(runtime.name)
      runtime.site = live?.spec.site
      takeSuspension(runtime, suspensionOf(runtime.site, undefined))
      if (runtime.suspended !== undefined) return this.#end(runtime, suspendedRemoval(runtime.suspended), content, signal)
      const outcome = await remove(this.#services, runtime, content, { expired, signal })
      if (outcome === undefined) {
        this.#changed(runtime)
        return undefined
      }
      return this.#end(runtime, outcome, content, signal)
    }
    runtime.tenant = entry.settings?.tenant
    const live = objects.get(entry.name)
    const word = live?.spec.site
    runtime.site = word
    const obeyed = obeySite(entry, word, runtime.history)
    runtime.held = obeyed.held
    takeSuspension(runtime, suspensionOf(word, entry))
    reconcileNow(runtime, word)
    const wanted = obeyed.entry
    const back = obeyRollback(wanted, runtime)
    const context: ReleaseContext = {
      runtime,
      entry: back ?? wanted,
      wanted,
      rolledBack: back !== undefined,
      site,
      content,
      expiredAt: expired ? expiresAt : undefined,
      signal,
      live,
    }
    // What was decided is written down before anything is done for it.
    if (context.rolledBack) await objects.write(entry.name, runtime, runtime.outcome, signal)
    renewWishes(context)
    const walked = await this.#walk(context)
    // After a start nothing is said of each release, and written, that is said otherwise a moment later.
    if (walked.reading === true && this.#isEarly()) return walked
    const judged = orGrantEnded(judge(this.#services, context, walked), this.#services, context)
    const standing = orHeld(orFighting(judged, runtime, this.#services.clock.now().getTime()), runtime.held)
    const outcome = orStale(standing, context.expiredAt)
    this.#remember(context, context.rolledBack ? walked : outcome)
    if (runtime.wishes?.generation !== content.generation && !walked.ready && isRefusal(walked.reason)) runtime.settled = content.generation
    this.#tell(runtime, outcome, content)
    const waitMs = this.#settling(runtime, outcome)
    await tellSite(this.#services, context, outcome)
    if (waitMs > 0) return { ...outcome, requeueAfterMs: waitMs }
    await objects.ensure(context.wanted, runtime, content.generation, { newest: bearsGeneration(content, entry.name), signal })
    await objects.write(entry.name, runtime, outcome, signal)
    const { toleratedUntilMs: ends = Number.POSITIVE_INFINITY } = runtime
    const again = Math.min(outcome.requeueAfterMs ?? resyncMs, Math.max(0, ends - this.#services.clock.now().getTime()))
    return { ...outcome, requeueAfterMs: runtime.rechecked ? again : Math.min(again, settleMs) }
  }

  /** Whether what the site says may still be on its way, as the agent has just started. */
  #isEarly(): boolean {
    const now = this.#services.clock.monotonicMs()
    this.#readingSinceMs ??= now
    return now - this.#readingSinceMs < readingMs
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
      if (waits.has(step)) {
        await keepWhatRuns(this.#services, context)
        await foresee(this.#services, context)
      }
      return outcome
    }
    return assessRelease(context.runtime, this.#services.watches)
  }

  /** How a release stands that the channel does not have any more, and that is there. */
  async #end(runtime: ReleaseRuntime, outcome: Outcome, content: ChannelContent, signal: AbortSignal): Promise<Outcome> {
    this.#tell(runtime, outcome, content)
    await this.#services.objects.write(runtime.name, runtime, outcome, signal)
    return outcome
  }

  /** Writes down which version is applied whole, and what became of it. */
  #remember({ runtime, entry, rolledBack, content }: ReleaseContext, { ready, reason }: Outcome): void {
    const { applied, complete, held } = runtime
    if (!complete || applied?.digest !== entry.bundle.digest) return
    const { digest, version, repository } = entry.bundle
    const by = rolledBack ? 'rollback' : held?.digest === digest ? 'site' : 'channel'
    const seen = {
      digest,
      version,
      repository,
      generation: content.generation,
      by,
      outcome: ready ? releaseReasons.healthy : reason,
    } as const
    runtime.history = recordHistory(runtime.history, seen, this.#services.clock.now())
  }

  #tell(runtime: ReleaseRuntime, outcome: Outcome, { releases }: ChannelContent): void {
    const entry = releases.find(({ name }) => name === runtime.name)
    const before = this.#services.objects.get(runtime.name)?.conditions.find(({ type }) => type === 'Ready')
    // What was so before a restart is so since then.
    const goesOn =
      runtime.outcome === undefined ? before?.status === (outcome.ready ? 'True' : 'False') : runtime.outcome.ready === outcome.ready
    if (!goesOn) runtime.since = this.#services.clock.now().toISOString()
    else runtime.since ??= before?.lastTransitionTime
    runtime.outcome = outcome
    const of = entry && saidOf(entry)
    const sameEntry = runtime.outcomeOf === of
    if (!sameEntry) runtime.outcomeOf = of
    runtime.readyContent = outcome.ready && runtime.complete ? runtime.applied?.content : undefined
    runtime.waits(outcome, this.#services.clock.now())
    const { ready, reason, message } = outcome
    const running = (runtime.applied ?? runtime.remembered)?.digest
    const told = JSON.stringify([ready, reason, message, running, runtime.suspended, runtime.held])
    if (sameEntry && runtime.told === told) return
    runtime.told = told
    this.#services.logger.info({ release: runtime.name, ready, reason, detail: message }, 'a release stands anew')
    this.#changed(runtime)
  }
}
