import { apiVersion, type Cluster, type ClusterReport } from '@muster/api'
import { isKubeError, type KubeClient, type TypedObject } from '@muster/kube'
import { ApiError } from './api/errors.ts'

type ClusterObject = Cluster & TypedObject

/** Owners of the parts of a cluster's status, so that who writes one part leaves the others alone. */
const managers = { controller: 'muster-hub', reports: 'muster-hub-reports', join: 'muster-hub-join' } as const

/** What the controller says of a cluster. */
export type ControllerStatus = Pick<NonNullable<Cluster['status']>, 'channel' | 'conditions' | 'observedGeneration'>

/** The `Cluster` objects, as the hub writes them. */
export class ClusterStore {
  readonly #client: KubeClient

  constructor(client: KubeClient) {
    this.#client = client
  }

  /** Demands that the hub knows a cluster. @throws ApiError `UnknownCluster`; KubeError */
  async demand(name: string, signal: AbortSignal): Promise<Cluster> {
    const found = await this.#client.find<ClusterObject>({ apiVersion, kind: 'Cluster', name }, { signal })
    if (!found || found.metadata.deletionTimestamp !== undefined) throw unknown(name)
    return found
  }

  /** @param usedToken hash of the token that it joined with */
  async markJoined(name: string, usedToken: string, at: Date, signal: AbortSignal): Promise<void> {
    await this.#applyStatus(name, { joinedAt: at.toISOString(), usedToken }, managers.join, signal)
  }

  /** @throws ApiError `UnknownCluster`; KubeError */
  async writeReport(report: ClusterReport, at: Date, signal: AbortSignal): Promise<void> {
    await this.#applyStatus(report.cluster, { report, reportedAt: at.toISOString() }, managers.reports, signal)
  }

  async writeStatus(name: string, status: ControllerStatus, signal: AbortSignal): Promise<void> {
    await this.#applyStatus(name, status, managers.controller, signal)
  }

  async #applyStatus(name: string, status: NonNullable<Cluster['status']>, fieldManager: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#client.apply(
        { apiVersion, kind: 'Cluster', metadata: { name }, ...{ status } },
        { subresource: 'status', fieldManager, force: true, signal },
      )
    } catch (error) {
      if (isKubeError(error, 'NotFound')) throw unknown(name)
      throw error
    }
  }
}

function unknown(name: string): ApiError {
  return new ApiError('UnknownCluster', `The hub knows no cluster ${name}. Add it with "muster join", or create the Cluster.`)
}
