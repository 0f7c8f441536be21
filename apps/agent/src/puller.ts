import type { ContentSource } from '@muster/oci'
import { type ChannelContent, fetchChannel, TrustError, verifyChannel } from '@muster/trust'
import type { Clock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'
import type { ChannelState } from './state.ts'

/** A channel that was verified and stored: the desired state of this cluster. */
export interface AcceptedChannel {
  readonly digest: string
  readonly content: ChannelContent
  /** ISO 8601: from then on nothing new is taken from it. */
  readonly expiresAt: string
}

/** Since when, and why, no channel could be read, or the one there was refused. */
export interface ChannelTrouble {
  /** ISO 8601. */
  readonly since: string
  /** A code of OciError or TrustError, `NotFound` where there is no channel, or `ChannelExpired`. */
  readonly reason: string
  readonly message: string
}

export interface PullerOptions {
  readonly cluster: string
  /** Where the channel is; asked each time, as credentials may be renewed. */
  readonly source: () => ContentSource
  readonly store: { save(state: ChannelState, signal: AbortSignal): Promise<void> }
  /** What was remembered, or the root of the bootstrap Secret with generation 0. */
  readonly state: ChannelState
  readonly intervalMs: number
  /** Longest time for one poll, in milliseconds. */
  readonly deadlineMs?: number
  readonly clock: Clock
  readonly logger: Logger
  /** Told after the channel was stored. */
  readonly accepted: (channel: AcceptedChannel) => void
  /** Told when trouble began, changed or ended. */
  readonly troubled: () => void
  /** Told once the accepted channel has expired. */
  readonly expired: () => void
}

/** Share of the interval by which polls are spread, so that a fleet does not ask in step. */
const jitter = 0.2
/** The wait doubles up to this while the registry fails, in milliseconds. */
const maxWaitMs = 15_000
/** A channel is small: what takes longer than this, in milliseconds, is told as trouble, and ended after the deadline. */
const slowMs = 20_000
const defaultDeadlineMs = 120_000

/**
 * Polls the channel. Only a channel that is verified, newer and stored changes anything: no answer, an error, a refusal or no channel
 * at all leaves everything as it is, and is told as trouble.
 */
export class Puller {
  readonly #options: PullerOptions
  #state: ChannelState
  #current: AcceptedChannel | undefined
  #trouble: ChannelTrouble | undefined
  /** A channel that was refused is not fetched again every two seconds. */
  #refused: { readonly digest: string; readonly error: unknown } | undefined
  #polledAtMs: number
  /** The channel whose expiry was told. */
  #toldExpired: string | undefined
  #askedAtMs: number | undefined

  constructor(options: PullerOptions) {
    this.#options = options
    this.#state = options.state
    this.#polledAtMs = options.clock.now().getTime()
  }

  get current(): AcceptedChannel | undefined {
    return this.#current
  }

  get generation(): number {
    return this.#state.generation
  }

  /** What stands in the way now: that the accepted channel has expired, the registry, or the channel that is offered. */
  get trouble(): ChannelTrouble | undefined {
    const trouble = this.#pullTrouble
    if (!this.expired || this.#current === undefined) return trouble
    const { content, expiresAt } = this.#current
    const why = trouble === undefined || trouble.reason === 'ChannelExpired' ? '' : ` Why, since ${trouble.since}: ${trouble.message}`
    return {
      since: expiresAt,
      reason: 'ChannelExpired',
      message: `The channel of generation ${content.generation} expired at ${expiresAt} and no newer one has come.${why}`.slice(0, 2000),
    }
  }

  /** What stands in the way of a newer channel. */
  get #pullTrouble(): ChannelTrouble | undefined {
    if (this.#trouble !== undefined) return this.#trouble
    if (this.#askedAtMs === undefined || this.#options.clock.now().getTime() - this.#askedAtMs <= slowMs) return undefined
    const since = new Date(this.#askedAtMs).toISOString()
    return { since, reason: 'Timeout', message: `The registry was asked for the channel at ${since} and has not answered in full yet.` }
  }

  /** Milliseconds since a poll last ended, however it ended: what does not end hangs. */
  get silentMs(): number {
    return this.#options.clock.now().getTime() - this.#polledAtMs
  }

  get expired(): boolean {
    const expiresAt = this.#current?.expiresAt
    return expiresAt !== undefined && this.#options.clock.now() >= new Date(expiresAt)
  }

  /** Takes up the channel that was remembered: after a restart the releases are known without the registry. */
  resume(): void {
    const { channel, digest, root, generation } = this.#state
    if (channel === undefined || digest === undefined) return
    const { cluster, clock, logger, accepted } = this.#options
    try {
      const { content, expiresAt } = verifyChannel({
        trustedRoot: root,
        rootBytes: root,
        channelBytes: channel,
        cluster,
        lastGeneration: generation,
        now: clock.now(),
      })
      this.#current = { digest, content, expiresAt }
      accepted(this.#current)
    } catch (error) {
      // Someone changed it. The registry's channel is verified from the root anyway; until then nothing is known and nothing is done.
      logger.error({ code: codeOf(error), reason: messageOf(error) }, 'the remembered channel does not verify and is not used')
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs } = this.#options
    let failures = 0
    while (!signal.aborted) {
      failures = (await this.pullOnce(signal)) ? 0 : failures + 1
      const wait = Math.max(intervalMs, Math.min(maxWaitMs, intervalMs * 2 ** Math.max(0, Math.min(failures, 10) - 3)))
      await clock.sleep(wait * (1 - jitter + 2 * jitter * clock.random()), signal).catch(() => undefined)
    }
  }

  /** Asks once. False when the registry could not be asked. */
  async pullOnce(signal: AbortSignal): Promise<boolean> {
    this.#askedAtMs = this.#options.clock.now().getTime()
    // A registry that sends a byte now and then is never silent: only the whole shows that it does not answer.
    const deadline = AbortSignal.timeout(this.#options.deadlineMs ?? defaultDeadlineMs)
    try {
      await this.#pull(AbortSignal.any([signal, deadline]))
      if (this.#trouble !== undefined) {
        this.#trouble = undefined
        this.#options.logger.info({ generation: this.generation }, 'the channel is readable again')
        this.#options.troubled()
      }
      return true
    } catch (error) {
      if (signal.aborted) return true
      if (deadline.aborted) this.#tell('Timeout', 'The registry took too long to answer in full; it is asked again.')
      else this.#tell(codeOf(error), messageOf(error))
      return error instanceof TrustError || error instanceof Refusal
    } finally {
      this.#askedAtMs = undefined
      this.#polledAtMs = this.#options.clock.now().getTime()
      this.#tellExpiry()
    }
  }

  async #pull(signal: AbortSignal): Promise<void> {
    const { source, cluster, clock, store, logger, accepted } = this.#options
    const known = this.#refused?.digest ?? this.#current?.digest
    const fetched = await fetchChannel(source(), { signal, ...(known === undefined ? {} : { known }) } as { known: string })
    if (fetched === undefined)
      throw new Refusal('NotFound', `The registry has no channel for cluster ${cluster}; the hub has published none, or it is gone.`)
    if (fetched === 'unchanged') {
      if (this.#refused !== undefined) throw this.#refused.error
      return
    }
    this.#refused = undefined
    if (fetched.digest === this.#current?.digest) return
    try {
      const verified = verifyChannel({
        trustedRoot: this.#state.root,
        rootBytes: fetched.rootBytes,
        channelBytes: fetched.channelBytes,
        cluster,
        lastGeneration: this.#state.generation,
        now: clock.now(),
      })
      const { content, expired, expiresAt } = verified
      if (expired)
        throw new Refusal(
          'ChannelExpired',
          `The channel of generation ${content.generation} expired at ${expiresAt}; nothing is taken from it.`,
        )
      const state: ChannelState = {
        generation: content.generation,
        digest: fetched.digest,
        root: Buffer.from(verified.root).toString('utf8'),
        channel: fetched.channelBytes,
      }
      await store.save(state, signal)
      this.#state = state
      this.#current = { digest: fetched.digest, content, expiresAt }
      logger.info({ generation: content.generation, digest: fetched.digest, releases: content.releases.length }, 'accepted a channel')
      accepted(this.#current)
    } catch (error) {
      if (error instanceof TrustError || error instanceof Refusal) this.#refused = { digest: fetched.digest, error }
      throw error
    }
  }

  #tellExpiry(): void {
    const { digest, expiresAt } = this.#current ?? {}
    if (!this.expired || digest === this.#toldExpired) return
    this.#toldExpired = digest
    this.#options.logger.warn({ expiresAt }, 'the channel has expired: what runs is kept, and nothing new is taken')
    this.#options.expired()
  }

  #tell(reason: string, message: string): void {
    const { clock, logger, troubled } = this.#options
    if (this.#trouble?.reason === reason) return
    this.#trouble = { since: this.#trouble?.since ?? clock.now().toISOString(), reason, message }
    logger.warn({ reason, detail: message }, 'cannot take the channel; what runs stays as it is')
    troubled()
  }
}

/** A channel that is not taken for a reason of the agent's own. */
class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: 'NotFound' | 'ChannelExpired'

  constructor(code: Refusal['code'], message: string) {
    super(message)
    this.code = code
  }
}
