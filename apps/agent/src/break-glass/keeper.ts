import {
  apiVersion,
  type BreakGlass,
  type BreakGlassStatement,
  breakGlassReasons,
  type Condition,
  maxBreakGlassSignatures,
} from '@muster/api'
import { type EventRecorder, Informer, isKubeError, type KubeClient, type KubeObject, setCondition, type TypedObject } from '@muster/kube'
import { fieldManager } from '@muster/reconcile'
import { type ChannelContent, maxBreakGlassMs, readBreakGlass, TrustError, verifyBreakGlass } from '@muster/trust'
import type { Clock } from '../clock.ts'
import { codeOf, messageOf } from '../error.ts'
import type { Logger } from '../logger.ts'
import type { ReleaseObjects } from '../release/release-object.ts'
import type { Releases } from '../release/releases.ts'
import type { ReleaseRuntime } from '../release/runtime.ts'
import type { SitePolicies } from '../trust-rules.ts'
import { certainNow, type Standing, standingOf } from './standing.ts'

export interface BreakGlassOptions {
  readonly client: KubeClient
  readonly cluster: string
  readonly releases: Releases
  readonly objects: Pick<ReleaseObjects, 'get' | 'write'>
  readonly policies: SitePolicies
  /** What the channel says; nothing before one was verified. */
  readonly wanted: () => Pick<ChannelContent, 'publishers' | 'issuedAt'> | undefined
  readonly events: Pick<EventRecorder, 'event'>
  readonly clock: Clock
  readonly logger: Logger
  /** Told that a release was opened or closed. */
  readonly changed: (runtime: ReleaseRuntime) => void
}

/** What is kept of a `BreakGlass` object. */
interface Asked {
  readonly name: string
  readonly id: string
  readonly generation: number
  readonly signatures: readonly string[]
  readonly conditions: readonly Condition[]
}

interface Verified {
  readonly key: string
  readonly result: SignedStatement | TrustError
}

const idleMs = 60_000
const againMs = 2_000
const soonMs = 500
/** Of more that are for no release here nothing is said. */
const maxTold = 100

/**
 * Opens the write guard for releases, for a time, on the word of those who may: `BreakGlass` objects, one for a release. What was decided
 * is written on the Release before the guard opens, so that nothing opens twice and nothing is forgotten.
 */
export class BreakGlassKeeper {
  readonly name = 'break glass'
  readonly #options: BreakGlassOptions
  readonly #informer: Informer<Asked>
  /** The kind is not served here: a cluster that joined before it was made. */
  #unknown = false
  #wake = new AbortController()
  readonly #verified = new Map<string, Verified>()
  /** Nonces whose time has passed by a timer, whatever the clock says. */
  readonly #over = new Set<string>()
  readonly #timers = new Map<string, AbortController>()

  constructor(options: BreakGlassOptions) {
    const { client, logger } = options
    this.#options = options
    this.#informer = new Informer<Asked>(client, {
      apiVersion,
      kind: 'BreakGlass',
      project: askedOf,
      onError: (error) => {
        if (!isKubeError(error, 'Unreachable')) this.#unknown = isKubeError(error, 'UnknownKind')
        if (!this.#unknown) logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the watch of BreakGlass failed and goes on')
      },
    })
    this.#informer.onChange(() => this.lookAgain())
  }

  /** Something changed by which it may be judged otherwise. */
  lookAgain(): void {
    this.#wake.abort()
  }

  async run(signal: AbortSignal): Promise<void> {
    const watching = this.#informer.run(signal)
    const { clock, logger } = this.#options
    while (!signal.aborted) {
      this.#wake = new AbortController()
      let pauseMs = againMs
      try {
        pauseMs = await this.#sync(signal)
      } catch (error) {
        if (signal.aborted) break
        logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'what opens the write guard could not be judged; it is tried again')
      }
      await clock.sleep(pauseMs, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined)
    }
    for (const timer of this.#timers.values()) timer.abort()
    await watching
  }

  /** @returns how long nothing changes by itself, in milliseconds */
  async #sync(signal: AbortSignal): Promise<number> {
    const { releases, wanted, policies, clock } = this.#options
    const known = this.#informer.synced || this.#unknown
    const content = wanted()
    const rules = policies()
    const complete = known && content !== undefined && rules !== undefined
    // Nobody says when all of it is known.
    let nextMs = clock.now().getTime() + (complete ? idleMs : soonMs)
    for (const runtime of releases.all()) {
      const asked = this.#informer.get(runtime.name)
      if (!runtime.isOpen && asked === undefined) continue
      const judged = complete ? await this.#judge(runtime, asked, content, rules) : undefined
      // Nothing can be verified yet: what was open stays so, until its time.
      const standing = judged ?? this.#untilItsTime(runtime)
      if (standing === undefined) continue
      if (!standing.open) await this.#close(runtime, signal)
      else if (standing.verified !== undefined) await this.#open(runtime, standing.verified, signal)
      nextMs = Math.min(nextMs, 'againAtMs' in standing ? standing.againAtMs : nextMs, this.#endOf(runtime))
      if (asked !== undefined && judged !== undefined) await this.#tell(asked, judged, signal)
    }
    await this.#tellStrangers(signal)
    return Math.max(0, nextMs - clock.now().getTime()) + 1
  }

  #endOf({ breakGlass, isOpen }: ReleaseRuntime): number {
    return isOpen && breakGlass !== undefined ? Date.parse(breakGlass.until) : Number.POSITIVE_INFINITY
  }

  #untilItsTime({ breakGlass, isOpen }: ReleaseRuntime): Judged | undefined {
    if (!isOpen || breakGlass === undefined || this.#options.clock.now().getTime() < Date.parse(breakGlass.until)) return undefined
    return { open: false, reason: breakGlassReasons.ended, message: '' }
  }

  async #judge(
    { name, breakGlass: last }: ReleaseRuntime,
    asked: Asked | undefined,
    content: Pick<ChannelContent, 'publishers' | 'issuedAt'>,
    rules: NonNullable<ReturnType<SitePolicies>>,
  ): Promise<Judged> {
    if (asked === undefined) return { open: false, reason: breakGlassReasons.ended, message: '' }
    const verified = await this.#verify(asked, content, rules)
    if (verified instanceof TrustError) return { open: false, reason: reasonOf(verified), message: verified.message }
    const { statement } = verified
    const now = certainNow(this.#options.clock.now().getTime(), content.issuedAt, last)
    if (this.#over.has(statement.nonce))
      return {
        ...verified,
        open: false,
        reason: breakGlassReasons.ended,
        message: 'It has ended, and does not open again. Sign a new one.',
      }
    const live = this.#options.objects.get(name)
    if (live === undefined)
      return {
        ...verified,
        open: false,
        reason: breakGlassReasons.unknownRelease,
        message: 'Nothing of this release is installed here yet.',
      }
    return { verified, ...standingOf(statement, last, now, live.createdAt) }
  }

  /** Signatures are verified once, as long as what they are verified by stays. */
  async #verify(
    { name, id, generation, signatures }: Asked,
    { publishers }: Pick<ChannelContent, 'publishers'>,
    rules: NonNullable<ReturnType<SitePolicies>>,
  ): Promise<Verified['result']> {
    const { cluster, clock } = this.#options
    const policies = rules.flatMap(({ metadata, spec: { breakGlass } }) =>
      breakGlass === undefined ? [] : [{ metadata: { name: metadata.name }, spec: { breakGlass } }],
    )
    const key = JSON.stringify([id, generation, publishers, policies])
    const known = this.#verified.get(name)
    if (known?.key === key) return known.result
    let result: Verified['result']
    try {
      result = await verifyBreakGlass(signatures, { cluster, release: name, publishers, policies, now: clock.now() })
    } catch (error) {
      if (!(error instanceof TrustError)) throw error
      result = error
    }
    this.#verified.set(name, { key, result })
    return result
  }

  async #open(runtime: ReleaseRuntime, { statement, signedBy }: SignedStatement, signal: AbortSignal): Promise<void> {
    const { objects, logger } = this.#options
    const { by, reason, notBefore: from, until, nonce } = statement
    this.#time(statement, signal)
    if (runtime.isOpen && runtime.breakGlass?.nonce === nonce) return
    const before = runtime.breakGlass
    runtime.breakGlass = { by, reason, signedBy: [...signedBy], from, until, nonce }
    try {
      await objects.write(runtime.name, runtime, runtime.outcome, signal)
    } catch (error) {
      runtime.breakGlass = before
      throw error
    }
    const note = `${by} opened it until ${until}, signed by ${signedBy.join(' and ')}: ${reason}`
    this.#say(runtime, 'BreakGlassOpened', note)
    logger.warn({ release: runtime.name, by, signedBy, until, reason }, 'the write guard is open for a release')
    this.#options.changed(runtime)
  }

  /** A timer goes on when the clock is set back. */
  #time({ nonce, notBefore, until }: BreakGlassStatement, signal: AbortSignal): void {
    if (this.#timers.has(nonce)) return
    const ms = Date.parse(until) - Math.max(Date.parse(notBefore), this.#options.clock.now().getTime())
    const timer = new AbortController()
    this.#timers.set(nonce, timer)
    this.#options.clock
      .sleep(Math.min(ms, maxBreakGlassMs), AbortSignal.any([signal, timer.signal]))
      .then(() => {
        this.#over.add(nonce)
        this.lookAgain()
      })
      .catch(() => undefined)
      .finally(() => this.#timers.delete(nonce))
  }

  async #close(runtime: ReleaseRuntime, signal: AbortSignal): Promise<void> {
    const { clock, objects, logger, changed } = this.#options
    const { breakGlass: open } = runtime
    if (open === undefined || !runtime.isOpen) return
    runtime.breakGlass = { ...open, endedAt: clock.now().toISOString() }
    this.#timers.get(open.nonce)?.abort()
    this.#over.delete(open.nonce)
    this.#say(runtime, 'BreakGlassEnded', `What ${open.by} opened is closed again: what differs from what is signed is put back.`)
    logger.warn({ release: runtime.name, by: open.by }, 'the write guard is closed again for a release')
    changed(runtime)
    await objects.write(runtime.name, runtime, runtime.outcome, signal)
  }

  #say({ name }: ReleaseRuntime, reason: string, note: string): void {
    const uid = this.#options.objects.get(name)?.uid
    const object = { apiVersion, kind: 'Release', metadata: { name, ...(uid === undefined ? {} : { uid }) } }
    this.#options.events.event(object, { type: 'Warning', reason, note, action: 'BreakGlass' })
  }

  /** Says on the object what became of it, and of a refusal on the Release too. */
  async #tell(asked: Asked, judged: Judged, signal: AbortSignal): Promise<void> {
    const { client, clock, releases } = this.#options
    const told = {
      type: 'Open',
      status: judged.open ? 'True' : 'False',
      reason: judged.open ? breakGlassReasons.open : judged.reason,
      message: judged.open ? 'Others may write what the release holds, and drift is only told.' : judged.message.slice(0, 2000),
    } as const
    const known = asked.conditions.find(({ type }) => type === 'Open')
    const same = known?.status === told.status && known.reason === told.reason && known.message === told.message
    if (same && known.observedGeneration === asked.generation) return
    const conditions = setCondition(asked.conditions, { ...told, observedGeneration: asked.generation }, clock.now())
    const { by, reason, until } = judged.verified?.statement ?? {}
    const status = {
      conditions,
      observedGeneration: asked.generation,
      ...(by === undefined ? {} : { by, reason, until }),
      ...(judged.verified === undefined ? {} : { signedBy: judged.verified.signedBy.slice(0, maxBreakGlassSignatures) }),
    }
    const object = { apiVersion, kind: 'BreakGlass', metadata: { name: asked.name }, status } as unknown as TypedObject & KubeObject
    const runtime = releases.get(asked.name)
    const refused = !judged.open && judged.reason !== breakGlassReasons.ended && judged.reason !== breakGlassReasons.notYet
    if (runtime !== undefined && refused && !same) this.#say(runtime, 'BreakGlassRefused', told.message)
    try {
      await client.apply<KubeObject>(object, { fieldManager, force: true, subresource: 'status', signal })
    } catch (error) {
      // It went meanwhile.
      if (!isKubeError(error, 'NotFound')) throw error
    }
  }

  async #tellStrangers(signal: AbortSignal): Promise<void> {
    const { cluster, releases, wanted } = this.#options
    if (wanted() === undefined) return
    const strangers = this.#informer.list().filter(({ name }) => releases.get(name) === undefined)
    // What is for another cluster may be another agent's, where a cluster has two names.
    for (const asked of strangers.slice(0, maxTold).filter((one) => clusterOf(one) === cluster)) {
      const message = `There is no release ${asked.name} in cluster ${cluster}.`
      await this.#tell(asked, { open: false, reason: breakGlassReasons.unknownRelease, message }, signal)
    }
    for (const name of this.#verified.keys()) if (this.#informer.get(name) === undefined) this.#verified.delete(name)
  }
}

interface SignedStatement {
  readonly statement: BreakGlassStatement
  readonly signedBy: readonly string[]
}

type Judged = Standing & { readonly verified?: SignedStatement }

function reasonOf({ code }: TrustError): (typeof breakGlassReasons)['notSigned' | 'refused'] {
  const ofSigners = ['WrongKey', 'IdentityNotAllowed', 'NoneFound', 'Expired', 'DataDamaged'] as const
  return ofSigners.some((one) => one === code) ? breakGlassReasons.notSigned : breakGlassReasons.refused
}

/** For which cluster it is said to be; nothing is verified. */
function clusterOf({ signatures }: Asked): string | undefined {
  try {
    return readBreakGlass(signatures).statement.cluster
  } catch (error) {
    if (error instanceof TrustError) return undefined
    throw error
  }
}

function askedOf(object: KubeObject): Asked {
  const { metadata, spec, status } = object as unknown as BreakGlass & KubeObject
  const conditions = (status?.conditions ?? []) as readonly Condition[]
  return { name: metadata.name, id: metadata.uid ?? '', generation: metadata.generation ?? 0, signatures: spec.signatures, conditions }
}
