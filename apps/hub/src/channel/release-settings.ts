import { type Cluster, customizationsFor, type Placement, type ReleaseSettings, type Tenant } from '@muster/api'
import { tenantIn } from './tenants.ts'

/** What a placement says of its release in one cluster; nothing where it says nothing. */
export function settingsOf(
  placement: Placement,
  cluster: Pick<Cluster, 'metadata'>,
  tenants: readonly Tenant[],
): ReleaseSettings | undefined {
  const { dependsOn, drift, conflicts, adopt, rollout, prune, suspend, customize, sealed, tenant } = placement.spec
  const chosen = customizationsFor(cluster, customize ?? [])
  const own = sealed?.[cluster.metadata.name]
  const settings = {
    ...given({ dependsOn, drift, conflicts, adopt, rollout, prune, suspend }),
    ...(chosen.length === 0 ? {} : { customize: chosen }),
    ...(own === undefined ? {} : { sealed: own }),
    ...(tenant === undefined ? {} : { tenant: tenantIn(cluster, tenant, tenants) }),
  }
  return Object.keys(settings).length === 0 ? undefined : settings
}

function given<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
