import { clusterReportSchema } from '@muster/api'
import * as z from 'zod'
import type { ReportSink } from '../reports.ts'
import { ApiError } from './errors.ts'
import { demandIdentity } from './identity.ts'
import type { Route } from './router.ts'

export interface ReportOptions {
  readonly reports: ReportSink
  readonly trustDomain: string
  readonly now: () => Date
}

/** A report goes into the status of an object, which may have 1.5 MiB in all. */
const maxBodyBytes = 1024 * 1024

/** `POST /v1/clusters/{name}/report`: what an agent sees of its cluster. */
export function reportRoute({ reports, trustDomain, now }: ReportOptions): Route {
  return {
    method: 'POST',
    path: '/v1/clusters/:name/report',
    maxBodyBytes,
    handle: async ({ message, params, json, signal }) => {
      const cluster = params['name'] ?? ''
      demandIdentity(message, { cluster, trustDomain, now: now() })
      const report = clusterReportSchema.safeParse(await json())
      if (!report.success) throw new ApiError('BadRequest', `The report is malformed: ${z.prettifyError(report.error).slice(0, 500)}`)
      if (report.data.cluster !== cluster)
        throw new ApiError('IdentityMismatch', `The report is about cluster ${report.data.cluster.slice(0, 63)} and came from ${cluster}.`)
      await reports.take(report.data, signal)
      return {}
    },
  }
}
