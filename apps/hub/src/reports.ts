import { isDeepStrictEqual } from 'node:util'
import type { ClusterReport } from '@muster/api'
import type { ClusterStore } from './cluster-store.ts'

/** Where reports go. */
export interface ReportSink {
  take(report: ClusterReport, signal: AbortSignal): Promise<void>
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
    const before = this.#writing.get(report.cluster)
    const writing = (before ?? Promise.resolve()).catch(() => undefined).then(() => this.#write(report, signal))
    this.#writing.set(report.cluster, writing)
    try {
      await writing
    } finally {
      if (this.#writing.get(report.cluster) === writing) this.#writing.delete(report.cluster)
    }
  }

  /** Forgets a cluster that left. */
  forget(cluster: string): void {
    this.#last.delete(cluster)
  }

  async #write(report: ClusterReport, signal: AbortSignal): Promise<void> {
    const { clusters, now, heartbeatMs } = this.#options
    const last = this.#last.get(report.cluster)
    const at = now()
    if (last) {
      const older = Date.parse(last.report.observedAt) - Date.parse(report.observedAt)
      // By much older it was not delayed: the agent's clock was set back.
      if (older > 0 && older <= longestDelayMs) return
      const same = isDeepStrictEqual({ ...report, observedAt: '' }, { ...last.report, observedAt: '' })
      if (same && at.getTime() - last.writtenAt < heartbeatMs) return
    }
    await clusters.writeReport(report, at, signal)
    this.#last.set(report.cluster, { report, writtenAt: at.getTime() })
  }
}
