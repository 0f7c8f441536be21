import { isDeepStrictEqual } from 'node:util'
import type { ClusterReport, Heartbeat } from '@muster/api'
import type { ClusterStore } from './cluster-store.ts'

/** Where reports go. */
export interface ReportSink {
  take(report: ClusterReport, signal: AbortSignal): Promise<void>
  /** Takes the report that a heartbeat says holds. False: it is not the last one known here. */
  takeAgain(heartbeat: Heartbeat, signal: AbortSignal): Promise<boolean>
}

export interface ReportsOptions {
  readonly clusters: Pick<ClusterStore, 'writeReport'>
  readonly now: () => Date
  /** A report that says nothing new is written when the last was written this long ago, in milliseconds. */
  readonly heartbeatMs: number
}

/** A request does not take longer than this, in milliseconds. */
const longestDelayMs = 60_000

interface Last {
  readonly report: ClusterReport
  /** `observedAt` of the report that said so in full. */
  readonly said: string
  readonly writtenAt: number
}

/**
 * Keeps reports in the clusters' status: at once when something changed, else as a heartbeat now and then, so that the API server
 * is not written to each second. A report older than the last, such as one that was delayed, changes nothing.
 */
export class Reports implements ReportSink {
  readonly #options: ReportsOptions
  readonly #last = new Map<string, Last>()
  /** Writes under way, one after the other for each cluster. */
  readonly #writing = new Map<string, Promise<void>>()

  constructor(options: ReportsOptions) {
    this.#options = options
  }

  /** @throws ApiError `UnknownCluster`; KubeError */
  async take(report: ClusterReport, signal: AbortSignal): Promise<void> {
    await this.#inTurn(report.cluster, () => this.#write(report, report.observedAt, signal))
  }

  /** @throws ApiError `UnknownCluster`; KubeError */
  async takeAgain({ cluster, observedAt, holds }: Heartbeat, signal: AbortSignal): Promise<boolean> {
    let known = false
    await this.#inTurn(cluster, async () => {
      const last = this.#last.get(cluster)
      if (last?.said !== holds) return
      known = true
      await this.#write({ ...last.report, observedAt }, holds, signal)
    })
    return known
  }

  async #inTurn(cluster: string, write: () => Promise<void>): Promise<void> {
    const before = this.#writing.get(cluster)
    const writing = (before ?? Promise.resolve()).catch(() => undefined).then(write)
    this.#writing.set(cluster, writing)
    try {
      await writing
    } finally {
      if (this.#writing.get(cluster) === writing) this.#writing.delete(cluster)
    }
  }

  /** Forgets a cluster that left. */
  forget(cluster: string): void {
    this.#last.delete(cluster)
  }

  async #write(report: ClusterReport, said: string, signal: AbortSignal): Promise<void> {
    const { clusters, now, heartbeatMs } = this.#options
    const last = this.#last.get(report.cluster)
    const at = now()
    if (last) {
      const older = Date.parse(last.report.observedAt) - Date.parse(report.observedAt)
      // By much older it was not delayed: the agent's clock was set back.
      if (older > 0 && older <= longestDelayMs) return
      const same = isDeepStrictEqual({ ...report, observedAt: '' }, { ...last.report, observedAt: '' })
      if (same && at.getTime() - last.writtenAt < heartbeatMs) {
        this.#last.set(report.cluster, { ...last, said })
        return
      }
    }
    await clusters.writeReport(report, at, signal)
    this.#last.set(report.cluster, { report, said, writtenAt: at.getTime() })
  }
}
