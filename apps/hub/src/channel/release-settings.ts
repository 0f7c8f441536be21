import {
  type ChosenCustomization,
  type Cluster,
  type Customization,
  customizationLevels,
  environmentLabel,
  groupLabel,
  type Placement,
  type ReleaseSettings,
  type Tenant,
} from '@muster/api'
import { tenantIn } from './tenants.ts'

/** What a placement says of its release in one cluster; nothing where it says nothing. */
export function settingsOf(
  placement: Placement,
  cluster: Pick<Cluster, 'metadata'>,
  tenants: readonly Tenant[],
): ReleaseSettings | undefined {
  const { dependsOn, drift, conflicts, adopt, rollout, prune, suspend, customize, sealed, tenant } = placement.spec
  const chosen = chosenFor(cluster, customize ?? [])
  const own = sealed?.[cluster.metadata.name]
  const settings = {
    ...given({ dependsOn, drift, conflicts, adopt, rollout, prune, suspend }),
    ...(chosen.length === 0 ? {} : { customize: chosen }),
    ...(own === undefined ? {} : { sealed: own }),
    ...(tenant === undefined ? {} : { tenant: tenantIn(cluster, tenant, tenants) }),
  }
  return Object.keys(settings).length === 0 ? undefined : settings
}

/** The customizations that are for a cluster, in order of precedence: by level, then as they are written. */
function chosenFor(cluster: Pick<Cluster, 'metadata'>, customizations: readonly Customization[]): ChosenCustomization[] {
  const labels = cluster.metadata.labels ?? {}
  const mine = { all: true, environment: labels[environmentLabel], group: labels[groupLabel], cluster: cluster.metadata.name } as const
  return customizationLevels.flatMap((level) =>
    customizations
      .filter((one) => one.for[level] !== undefined && one.for[level] === mine[level])
      .map(({ name, values, overlay }) => ({ name, level, ...given({ values, overlay }) })),
  )
}

function given<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
