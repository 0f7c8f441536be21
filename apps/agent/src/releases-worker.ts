import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type Release } from '@muster/api'
import { Controller, type EventRecorder, Informer, type KubeClient, type Runnable } from '@muster/kube'
import { entryRef } from '@muster/reconcile'
import type { ChannelContent } from '@muster/trust'
import { BreakGlassKeeper } from './break-glass/keeper.ts'
import type { Clock } from './clock.ts'
import { DriftKeeper } from './drift-keeper.ts'
import { codeOf, messageOf } from './error.ts'
import { GuardKeeper } from './guard/guard.ts'
import type { Logger } from './logger.ts'
import type { AcceptedChannel } from './puller.ts'
import type { ReleaseServices } from './release/context.ts'
import { suspectAll } from './release/end-tolerances.ts'
import { Handover } from './release/handover.ts'
import { Loads } from './release/loads.ts'
import { ReleaseReconciler, type Wanted } from './release/reconciler.ts'
import { clusterLabel, type LiveRelease, liveOf, ReleaseObjects } from './release/release-object.ts'
import { Releases } from './release/releases.ts'
import { type ReleaseRuntime, targetOf } from './release/runtime.ts'
import type { RemoteReleases } from './remote-releases.ts'
import { SiteOverlays } from './site-overlays.ts'
import type { Tenancy } from './tenancy.ts'
import type { SitePolicies, TrustRules } from './trust-rules.ts'
import { Watches } from './watches.ts'

export interface ReleasesWorkerOptions {
  readonly client: KubeClient
  /** Name of this cluster. */
  readonly cluster: string
  /** Where the agent keeps its own objects. */
  readonly namespace: string
  readonly events: Pick<EventRecorder, 'event'>
  readonly source: ReleaseServices['source']
  readonly unseal: ReleaseServices['unseal']
  readonly sitePolicies: SitePolicies
  readonly trust: TrustRules
  readonly tenancy: Tenancy
  /** Releases of other clusters, on which ours may depend. */
  readonly remote: RemoteReleases
  readonly clock: Clock
  readonly logger: Logger
  readonly wanted: () => Wanted | undefined
  /** Told of each change that the hub should know. */
  readonly changed: () => void
  /** Told of each piece of work on a release, whether it changed something or not. */
  readonly touched: () => void
}

/** Releases worked on at once. Each waits on its own servers only; none holds up another. */
const workers = 8

/** Between tries of a release that could not be worked on, such as while the API server is away: soon at first, and never long after it is back. */
const backoff = { baseMs: 100, maxMs: 30_000, jitter: 0.5 }

/** Everything about releases in one place: what is wanted is brought about, kept, and taken away. */
export class ReleasesWorker {
  readonly releases = new Releases()
  readonly #options: ReleasesWorkerOptions
  readonly #watches: Watches
  readonly #drift: DriftKeeper
  readonly #controller: Controller
  readonly #objects: ReleaseObjects
  readonly #guard: GuardKeeper
  readonly #breakGlass: BreakGlassKeeper
  readonly #siteOverlays: SiteOverlays
  readonly #loads: Loads
  #handover: { readonly content: ChannelContent; readonly rules: Handover } | undefined
  readonly #releaseInformer: Informer<LiveRelease>

  constructor(options: ReleasesWorkerOptions) {
    const { client, clock, logger, changed, events, tenancy } = options
    this.#options = options
    this.#watches = new Watches(
      client,
      (event) => {
        this.#drift.saw(event)
        const owner = this.releases.ownerOf(event.object.key)
        if (owner !== undefined) this.#controller.enqueue(owner.name)
      },
      this.releases,
      logger,
    )
    const tell = (runtime: ReleaseRuntime): void => {
      this.#controller.enqueue(runtime.name)
      changed()
    }
    this.#drift = new DriftKeeper({ tenancy, releases: this.releases, events, clock, logger, changed: tell, touched: options.touched })
    this.#loads = new Loads(clock, (name) => this.#controller.enqueue(name))
    this.#objects = new ReleaseObjects(client, options.cluster, () => clock.now())
    this.#siteOverlays = new SiteOverlays({
      client,
      clock,
      logger,
      policies: options.sitePolicies,
      changed: (release) => {
        const runtime = this.releases.get(release)
        // Of a release that is not this agent's nothing is looked at.
        if (runtime === undefined) return
        // What is under way works towards what is not wanted any more.
        runtime.interrupt(undefined)
        this.#controller.enqueue(release)
      },
    })
    this.#guard = new GuardKeeper({
      client,
      cluster: options.cluster,
      namespace: options.namespace,
      releases: this.releases,
      wanted: () => options.wanted()?.content,
      clock,
      logger,
    })
    this.#breakGlass = new BreakGlassKeeper({
      client,
      cluster: options.cluster,
      releases: this.releases,
      objects: this.#objects,
      policies: options.sitePolicies,
      wanted: () => options.wanted()?.content,
      events,
      clock,
      logger,
      changed: (runtime) => {
        this.#guard.changed()
        // What others did meanwhile is put back, where it is closed again.
        if (!runtime.isOpen) suspectAll(runtime, (key) => this.#drift.suspect(key))
        tell(runtime)
      },
    })
    const services: ReleaseServices = {
      client,
      cluster: options.cluster,
      objects: this.#objects,
      releases: this.releases,
      watches: this.#watches,
      clock,
      logger,
      source: options.source,
      loads: this.#loads,
      unseal: options.unseal,
      siteOverlays: this.#siteOverlays,
      trust: options.trust,
      tenancy,
      remote: options.remote,
      rewatch: () => this.#rewatch(),
      guard: () => this.#guard.changed(),
      found: (runtime, key, applied) => this.#drift.found(runtime, key, applied),
      handover: (content) => this.#handoverUnder(content),
      wake: (name) => this.#controller.enqueue(name),
      suspect: (key) => this.#drift.suspect(key),
      tell: ({ name }, reason, note) => {
        const uid = this.#objects.get(name)?.uid
        const object = { apiVersion, kind: 'Release', metadata: { name, ...(uid === undefined ? {} : { uid }) } }
        events.event(object, { type: 'Warning', reason, note, action: 'Rollback' })
      },
    }
    const reconciler = new ReleaseReconciler(services, options.wanted, (runtime) => {
      this.#enqueueDependents(runtime.name)
      // Of a tenant that is gone, what it leaves empty goes too.
      if (this.releases.get(runtime.name) === undefined) tenancy.lookAgain()
      changed()
    })
    this.#controller = new Controller({
      name: 'releases',
      concurrency: workers,
      backoff,
      reconcile: (name, signal) => reconciler.reconcile(name, signal).finally(options.touched),
      onError: (error, name) => {
        const reason = this.releases.get(name)?.discreet(messageOf(error)) ?? messageOf(error)
        logger.warn({ release: name, code: codeOf(error), reason }, 'a release could not be worked on; it is tried again')
      },
    })
    this.#releaseInformer = new Informer<LiveRelease>(client, {
      apiVersion,
      kind: 'Release',
      labelSelector: `${clusterLabel}=${options.cluster}`,
      project: liveOf,
    })
    // A Release that someone deletes comes back: it is how people see what runs.
    this.#releaseInformer.onChange((event) => {
      const runtime = this.releases.get(event.key)
      if (!this.#objects.saw(event) || runtime === undefined) return
      // What the site says counts at once: an apply that is under way ends here.
      if (event.type !== 'deleted' && !isDeepStrictEqual(event.object.spec.site, runtime.site)) runtime.interrupt('what the site says')
      this.#controller.enqueue(event.key)
    })
  }

  /** Reads what is installed from the cluster: after a restart, before anything else. */
  async restore(signal: AbortSignal): Promise<void> {
    const { client, cluster } = this.#options
    const pages = client.pages({ apiVersion, kind: 'Release', labelSelector: `${clusterLabel}=${cluster}` }, { signal })
    for await (const { items } of pages) {
      for (const item of items) {
        this.#objects.take(liveOf(item))
        this.releases.remember(item as unknown as Release)
      }
    }
    this.#rewatch()
  }

  /** The highest generation that a Release bears: should the state be lost, an older channel is still refused. */
  get generation(): number {
    return this.#objects.generation
  }

  /** What must run, in the order of starting. */
  get parts(): readonly Runnable[] {
    return [
      this.#siteOverlays,
      this.#releaseInformer,
      this.#breakGlass,
      this.#guard,
      this.#watches,
      this.#drift.controller,
      this.#controller,
    ]
  }

  /** Takes up a channel: what changed is interrupted, and everything is looked at. */
  accept({ content }: AcceptedChannel): void {
    this.#guard.changed()
    this.#breakGlass.lookAgain()
    const wanted = new Map(content.releases.map((entry) => [entry.name, entry]))
    for (const runtime of this.releases.all()) {
      runtime.interrupt(targetOf(wanted.get(runtime.name)))
      this.#controller.enqueue(runtime.name)
    }
    for (const name of wanted.keys()) this.#controller.enqueue(name)
  }

  /** Looks at every release again: something changed that concerns them all. */
  lookAgain(): void {
    this.#breakGlass.lookAgain()
    for (const runtime of this.releases.all()) this.#controller.enqueue(runtime.name)
  }

  /** The rules of handover under a channel, made once for each. */
  #handoverUnder(content: ChannelContent): Handover {
    if (this.#handover?.content !== content) this.#handover = { content, rules: new Handover(content, this.releases) }
    return this.#handover.rules
  }

  /** Whether something waits for a release of another cluster. */
  get waitsAcross(): boolean {
    return this.releases
      .all()
      .some(({ waitingFor }) => waitingFor?.what === 'Dependency' && waitingFor.names.some((name) => name.includes('/')))
  }

  #rewatch(): void {
    const kinds = this.releases
      .all()
      .flatMap((runtime) => [...runtime.inventory.map(entryRef), ...[...runtime.tracked.values()].map((tracked) => tracked.planned.object)])
    this.#watches.ensure(kinds)
  }

  #enqueueDependents(name: string): void {
    for (const entry of this.#options.wanted()?.content.releases ?? []) {
      if (entry.settings?.dependsOn?.some((dependency) => dependency.release === name)) this.#controller.enqueue(entry.name)
    }
  }
}
