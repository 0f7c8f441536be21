import { apiVersion, type Condition, type CustomizationReport, type SiteOverlay } from '@muster/api'
import { Informer, isKubeError, type KubeClient, type KubeObject, setCondition, type TypedObject } from '@muster/kube'
import type { Layer, SiteRule } from '@muster/overlay'
import { fieldManager } from '@muster/reconcile'
import type { Clock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'
import type { SitePolicies } from './trust-rules.ts'

/** An overlay of the site, and what bounds it beside the bundle. */
export interface SiteLayer extends Layer {
  readonly level: 'site'
  readonly site: { readonly reason: string; readonly until?: string }
  readonly policies: readonly SiteRule[]
}

/** Customizations as releases and reports show them: what was said, without what it says. */
export function inForce(layers: readonly (Layer & { readonly site?: SiteLayer['site'] })[]): CustomizationReport[] {
  return layers.map(({ name, level, site }) => ({ name, level, ...site }))
}

/** Longest pause of a timer, in milliseconds. */
const longestMs = 3_600_000
const idleMs = 60_000

export interface SiteOverlaysOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly logger: Logger
  readonly policies: SitePolicies
  /** Told which release is to be looked at again. */
  readonly changed: (release: string) => void
}

/** The `SiteOverlay` objects of this cluster: what they make of each release now, and what became of them. */
export class SiteOverlays {
  readonly name = 'site overlays'
  readonly #options: SiteOverlaysOptions
  readonly #informer: Informer
  /** The kind is not served here: a cluster that joined before it was made has no such overlays. */
  #unknown = false
  #wake = new AbortController()
  /** Which of each overlay was seen last. */
  readonly #seen = new Map<string, string>()

  constructor(options: SiteOverlaysOptions) {
    const { client, logger } = options
    this.#options = options
    this.#informer = new Informer(client, {
      apiVersion,
      kind: 'SiteOverlay',
      onError: (error) => {
        // A server that is away says nothing of what it serves.
        if (!isKubeError(error, 'Unreachable')) this.#unknown = isKubeError(error, 'UnknownKind')
        if (!this.#unknown) logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the watch of SiteOverlay failed and goes on')
      },
    })
    this.#informer.onChange(({ key, type, object }) => {
      const { spec, metadata } = object as SiteOverlay & KubeObject
      const said = type === 'deleted' ? undefined : `${metadata.uid} ${metadata.generation}`
      // What is written about an overlay is no other overlay.
      if (said !== undefined && this.#seen.get(key) === said) return
      if (said === undefined) this.#seen.delete(key)
      else this.#seen.set(key, said)
      options.changed(spec.release)
      this.#wake.abort()
    })
  }

  /** Those of a release that hold now, in order of names. Undefined before they were read: nothing may be taken as if there were none. */
  of(release: string): readonly SiteLayer[] | undefined {
    const all = this.#all()
    const policies = this.#options.policies()
    if (all === undefined || policies === undefined) return undefined
    const rules = policies
      .filter(({ spec }) => spec.siteOverlays !== undefined)
      .map(({ metadata: { name }, spec: { siteOverlays } }): SiteRule => ({ metadata: { name }, spec: { siteOverlays } }))
    const now = this.#options.clock.now().getTime()
    return all
      .filter(({ spec }) => spec.release === release && !isOver(spec.until, now))
      .map(({ metadata, spec: { values, overlay, reason, until } }) => ({
        name: metadata.name,
        level: 'site',
        ...(values === undefined ? {} : { values }),
        ...(overlay === undefined ? {} : { overlay }),
        site: { reason, ...(until === undefined ? {} : { until }) },
        policies: rules,
      }))
  }

  /** Writes on each overlay of a release what became of it, where that is news. @param refusal why the release cannot be made so */
  async tell(release: string, refusal: string | undefined, signal: AbortSignal): Promise<void> {
    const now = this.#options.clock.now()
    for (const object of this.#all() ?? []) {
      if (object.spec.release !== release) continue
      const standing = isOver(object.spec.until, now.getTime())
        ? { status: 'False', reason: 'Ended', message: `It ended at ${object.spec.until}.` }
        : refusal === undefined
          ? { status: 'True', reason: 'InForce', message: `It is in force in release ${release}.` }
          : { status: 'False', reason: 'Refused', message: refusal }
      await this.#write(object, standing as { status: 'True' | 'False'; reason: string; message: string }, now, signal)
    }
  }

  async #write(
    object: SiteOverlay & KubeObject,
    standing: { status: 'True' | 'False'; reason: string; message: string },
    now: Date,
    signal: AbortSignal,
  ): Promise<void> {
    const before = (object.status?.conditions ?? []) as readonly Condition[]
    const known = before.find(({ type }) => type === 'Ready')
    if (known?.status === standing.status && known.reason === standing.reason && known.message === standing.message) return
    const { name, generation } = object.metadata
    const observed = generation === undefined ? {} : { observedGeneration: generation }
    const conditions = setCondition(before as Parameters<typeof setCondition>[0], { type: 'Ready', ...standing, ...observed }, now)
    const told = { apiVersion, kind: 'SiteOverlay', metadata: { name }, status: { conditions, ...observed } }
    const options = { fieldManager, force: true, subresource: 'status', signal } as const
    await this.#options.client.apply<KubeObject>(told as unknown as TypedObject & KubeObject, options)
  }

  #all(): (SiteOverlay & KubeObject)[] | undefined {
    if (!this.#informer.synced) return this.#unknown ? [] : undefined
    const found = this.#informer.list() as (SiteOverlay & KubeObject)[]
    return found.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
  }

  /** Runs until stopped. At the end of an overlay its release is looked at again. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#informer.run(signal), this.#ends(signal)])
  }

  async #ends(signal: AbortSignal): Promise<void> {
    const { clock, changed } = this.#options
    let lookedAt = clock.now().getTime()
    while (!signal.aborted) {
      this.#wake = new AbortController()
      const now = clock.now().getTime()
      for (const { spec } of this.#all() ?? []) if (isOver(spec.until, now) && !isOver(spec.until, lookedAt)) changed(spec.release)
      lookedAt = now
      const ends = (this.#all() ?? []).flatMap(({ spec: { until } }) =>
        until === undefined || isOver(until, now) ? [] : [Date.parse(until) - now],
      )
      const pause = ends.length === 0 ? idleMs : Math.min(...ends, longestMs) + 1
      await clock.sleep(pause, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined)
    }
  }
}

function isOver(until: string | undefined, now: number): boolean {
  return until !== undefined && Date.parse(until) <= now
}
