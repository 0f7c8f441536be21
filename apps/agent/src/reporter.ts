import type { ClusterReport, Heartbeat, NodeReport, ReleaseReport } from '@muster/api'
import type { Clock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'

export interface ReporterOptions {
  readonly collect: () => ClusterReport
  readonly send: (report: ClusterReport, signal: AbortSignal) => Promise<void>
  /** Says that the last report still holds. False: the hub wants it in full. */
  readonly beat: (heartbeat: Heartbeat, signal: AbortSignal) => Promise<boolean>
  /** Of what a report says, that which changes with time alone, as text. */
  readonly timely: () => string
  readonly clock: Clock
  readonly logger: Logger
  /** Longest time between two reports, in milliseconds. */
  readonly intervalMs?: () => number
}

/** In milliseconds. */
export const defaultIntervalMs = 10_000
/** Changes come in bursts; they are told together after this long, in milliseconds. */
const gatherMs = 200
/** A report of many releases takes its time to put together: it is made so seldom that this part of the time, at most, goes into it. */
const share = 0.05
/** A report goes in full after this long, in milliseconds, also where nothing is known to have changed. */
const holdsMs = 5 * 60_000

/** Tells the hub how the cluster stands: on each change, and at an interval. A hub that is away holds up nothing here. */
export class Reporter {
  readonly name = 'reporter'
  readonly #options: ReporterOptions
  #wake = new AbortController()
  #failing = false
  /** How long the last report took to put together and to write down, in milliseconds. What the hub takes for its answer costs nothing here. */
  #tookMs = 0
  /** The last report that the hub took in full, while nothing has changed since it was put together. */
  #holds: { readonly cluster: string; readonly observedAt: string; readonly timely: string } | undefined

  constructor(options: ReporterOptions) {
    this.#options = options
  }

  /** Something was worked on: the next report, at its time, is put together anew. */
  touched(): void {
    this.#holds = undefined
  }

  /** Something changed that the hub should know. */
  changed(): void {
    this.touched()
    // To abort once more would make an error that nobody reads, for each change of each release.
    if (!this.#wake.signal.aborted) this.#wake.abort()
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs = () => defaultIntervalMs } = this.#options
    while (!signal.aborted) {
      await clock.sleep(Math.min(intervalMs(), Math.max(gatherMs, this.#tookMs / share)), signal).catch(() => undefined)
      // What changes from here on is in the next report.
      this.#wake = new AbortController()
      const sent = !signal.aborted && (await this.#report(signal))
      if (signal.aborted) return
      // While the hub is away, changes are not told one by one.
      const until = sent ? AbortSignal.any([signal, this.#wake.signal]) : signal
      await clock.sleep(sent ? intervalMs() : defaultIntervalMs / 2, until).catch(() => undefined)
    }
  }

  async #report(signal: AbortSignal): Promise<boolean> {
    const { clock, logger } = this.#options
    try {
      if (!(await this.#beat(clock.now(), signal))) await this.#sendWhole(signal)
      if (this.#failing) logger.info({}, 'the hub takes reports again')
      this.#failing = false
      return true
    } catch (error) {
      if (!signal.aborted && !this.#failing)
        logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the hub does not take reports; work goes on')
      this.#failing = true
      return false
    }
  }

  async #beat(now: Date, signal: AbortSignal): Promise<boolean> {
    const { beat, timely } = this.#options
    if (this.#holds === undefined) return false
    const { cluster, observedAt, timely: before } = this.#holds
    const passed = now.getTime() - Date.parse(observedAt)
    if (passed < 0 || passed >= holdsMs || timely() !== before) return false
    return beat({ cluster, observedAt: now.toISOString(), holds: observedAt }, signal)
  }

  async #sendWhole(signal: AbortSignal): Promise<void> {
    const { clock, collect, send, timely } = this.#options
    const started = clock.now().getTime()
    const report = collect()
    // From here on, what changes takes it back.
    const holds = { cluster: report.cluster, observedAt: report.observedAt, timely: timely() }
    this.#holds = holds
    try {
      // Until here and no further it is the agent's own time: what it sends is put together before the first wait.
      const sending = send(report, signal)
      this.#tookMs = Math.max(0, clock.now().getTime() - started)
      await sending
    } catch (error) {
      this.#holds = undefined
      throw error
    }
  }
}

/** What a report is made of. */
export interface ReportParts {
  readonly cluster: string
  readonly generation: number
  readonly channelDigest: string | undefined
  readonly agentVersion: string
  readonly kubernetesVersion: string
  readonly nodes: readonly NodeReport[]
  readonly releases: readonly ReleaseReport[]
  readonly sealing: ClusterReport['sealing'] | undefined
  readonly channelUnreadable: ClusterReport['channelUnreadable'] | undefined
}

/** Puts a report together. */
export function reportOf(parts: ReportParts, now: Date): ClusterReport {
  const { channelDigest, channelUnreadable, sealing, nodes, releases, ...rest } = parts
  return {
    ...rest,
    observedAt: now.toISOString(),
    nodes: [...nodes],
    releases: [...releases],
    ...(channelDigest === undefined ? {} : { channelDigest }),
    ...(sealing === undefined ? {} : { sealing }),
    ...(channelUnreadable === undefined ? {} : { channelUnreadable }),
  }
}
