import type { IncomingMessage } from 'node:http'
import { type Cluster, clusterReportSchema, type DependencyState, heartbeatSchema, type ReportAnswer } from '@muster/api'
import * as z from 'zod'
import type { ClusterStore } from '../cluster-store.ts'
import type { ReportSink } from '../reports.ts'
import { ApiError } from './errors.ts'
import { demandIdentity, demandNotRevoked, type ProvenIdentity, readAuthorities } from './identity.ts'
import type { ApiAnswer, Route } from './router.ts'

export interface ReportOptions {
  readonly reports: ReportSink
  readonly clusters: Pick<ClusterStore, 'demand'>
  /** A cluster as it was last seen, where it was. */
  readonly cached: (name: string) => Cluster | undefined
  /** How releases of other clusters stand on which those of a cluster depend. */
  readonly dependencies: (cluster: string) => readonly DependencyState[]
  readonly trustDomain: string
  /** Certificates (PEM) that identities may chain to. */
  readonly trusted: string
  readonly now: () => Date
}

/** A report goes into the status of an object, which may have 1.5 MiB in all. */
const maxBodyBytes = 1024 * 1024
const maxHeartbeatBytes = 1024

/**
 * `POST /v1/clusters/{name}/report`: what an agent sees of its cluster, and `…/heartbeat`: that it sees the same still. The answer says what
 * it cannot see.
 */
export function reportRoutes(options: ReportOptions): Route[] {
  const { reports, clusters, cached, dependencies, trustDomain, trusted, now } = options
  const authorities = readAuthorities(trusted)
  const prove = (message: IncomingMessage, cluster: string): ProvenIdentity =>
    demandIdentity(message, { cluster, trustDomain, now: now(), authorities })
  const demandValid = async (proven: ProvenIdentity, cluster: string, about: string, signal: AbortSignal): Promise<void> => {
    if (about !== cluster)
      throw new ApiError('IdentityMismatch', `The report is about cluster ${about.slice(0, 63)} and came from ${cluster}.`)
    // What is cached may be a moment old: only a look at the object itself refuses.
    const seen = cached(cluster)
    if (seen?.spec.identity !== proven.identity) demandNotRevoked(await clusters.demand(cluster, signal), proven)
  }
  const answer = (cluster: string): ApiAnswer => {
    const states = dependencies(cluster)
    if (states.length === 0) return {}
    return { status: 200, body: { dependencies: [...states] } satisfies ReportAnswer }
  }
  return [
    {
      method: 'POST',
      path: '/v1/clusters/:name/report',
      maxBodyBytes,
      handle: async ({ message, params, json, signal }) => {
        const cluster = params['name'] ?? ''
        const proven = prove(message, cluster)
        const report = clusterReportSchema.safeParse(await json())
        if (!report.success) throw new ApiError('BadRequest', `The report is malformed: ${z.prettifyError(report.error).slice(0, 500)}`)
        await demandValid(proven, cluster, report.data.cluster, signal)
        await reports.take(report.data, signal)
        return answer(cluster)
      },
    },
    {
      method: 'POST',
      path: '/v1/clusters/:name/heartbeat',
      maxBodyBytes: maxHeartbeatBytes,
      handle: async ({ message, params, json, signal }) => {
        const cluster = params['name'] ?? ''
        const proven = prove(message, cluster)
        const heartbeat = heartbeatSchema.safeParse(await json())
        if (!heartbeat.success)
          throw new ApiError('BadRequest', `The heartbeat is malformed: ${z.prettifyError(heartbeat.error).slice(0, 500)}`)
        await demandValid(proven, cluster, heartbeat.data.cluster, signal)
        if (!(await reports.takeAgain(heartbeat.data, signal)))
          throw new ApiError('ReportUnknown', `The report of ${heartbeat.data.holds} is not the last one known here. Send it in full.`)
        return answer(cluster)
      },
    },
  ]
}
