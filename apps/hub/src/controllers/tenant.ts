import { isDeepStrictEqual } from 'node:util'
import { apiVersion, type Cluster, type Tenant, tenantReasons } from '@muster/api'
import { isKubeError, type KubeClient } from '@muster/kube'
import { objectionTo } from '../channel/tenants.ts'
import { withReady } from './ready-condition.ts'

export interface TenantControllerOptions {
  readonly client: Pick<KubeClient, 'apply'>
  readonly tenant: (name: string) => Tenant | undefined
  readonly tenants: () => readonly Tenant[]
  readonly clusters: () => readonly Cluster[]
  readonly now: () => Date
}

/** Says of each tenant whether its grants are given as they are written. */
export class TenantController {
  readonly #options: TenantControllerOptions

  constructor(options: TenantControllerOptions) {
    this.#options = options
  }

  async reconcile(name: string, signal: AbortSignal): Promise<void> {
    const { client, tenants, clusters, now } = this.#options
    const tenant = this.#options.tenant(name)
    if (!tenant || tenant.metadata.deletionTimestamp !== undefined) return
    const objection = objectionTo(tenant, tenants(), clusters())
    const message = 'Its grants are in the channels of the clusters that they are for.'
    const finding = objection
      ? ({ status: 'False', ...objection } as const)
      : ({ status: 'True', reason: tenantReasons.ready, message } as const)
    const observedGeneration = tenant.metadata.generation
    const conditions = withReady(tenant.status?.conditions, finding, observedGeneration, now())
    const status = { conditions, ...(observedGeneration === undefined ? {} : { observedGeneration }) }
    if (isDeepStrictEqual(status, { ...tenant.status })) return
    const object = { apiVersion, kind: 'Tenant', metadata: { name }, status }
    try {
      await client.apply(object, { subresource: 'status', fieldManager: 'muster-hub', force: true, signal })
    } catch (error) {
      // Deleted meanwhile: nothing has a status any more.
      if (!isKubeError(error, 'NotFound')) throw error
    }
  }
}
