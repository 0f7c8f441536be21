import { type Cluster, means, type Placement, selects, type Tenant, type TenantGrant } from '@muster/api'

/** A grant as people read it. */
export interface GrantView {
  readonly name: string
  /** `cluster`: kinds that live in no namespace; `namespace`: all kinds of its namespaces; `kinds`: some of them. */
  readonly level: 'cluster' | 'namespace' | 'kinds'
  readonly kinds: readonly string[]
  readonly namespaces: readonly string[]
  readonly podSecurity?: string
  /** Names of the clusters that it is for now. */
  readonly clusters: readonly string[]
  /** ISO 8601; absent where it has no end. */
  readonly until?: string
  /** Seconds until its end, below zero after it. */
  readonly secondsLeft?: number
  readonly reason?: string
}

export interface TenantView {
  readonly name: string
  readonly displayName?: string
  readonly contact?: string
  readonly ready: boolean
  readonly reason: string
  readonly message: string
  readonly grants: readonly GrantView[]
  /** Its releases, each where it goes. */
  readonly releases: readonly { readonly name: string; readonly version: string; readonly clusters: readonly string[] }[]
}

/** Tenants with the level and the duration of what they were granted, in order of names. Pure. */
export function tenantViews(
  tenants: readonly Tenant[],
  placements: readonly Placement[],
  clusters: readonly Cluster[],
  now: Date,
): TenantView[] {
  return tenants
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .map(({ metadata, spec, status }) => {
      const condition = status?.conditions?.find((one) => one.type === 'Ready')
      const { displayName, contact } = spec
      return {
        name: metadata.name,
        ...(displayName === undefined ? {} : { displayName }),
        ...(contact === undefined ? {} : { contact }),
        ready: condition?.status === 'True',
        reason: condition?.reason ?? 'Unknown',
        message: condition?.message ?? 'The hub has not looked at it yet.',
        grants: spec.grants.map((grant) => grantView(grant, clusters, now)),
        releases: placements
          .filter((placement) => placement.spec.tenant === metadata.name)
          .map((placement) => ({
            name: placement.metadata.name,
            version: placement.spec.bundle.version,
            clusters: clusters
              .filter((cluster) => selects(placement, cluster))
              .map((cluster) => cluster.metadata.name)
              .sort(),
          })),
      }
    })
}

function grantView(grant: TenantGrant, clusters: readonly Cluster[], now: Date): GrantView {
  const { name, kinds, namespaces = [], podSecurity, until, reason } = grant
  return {
    name,
    level: namespaces.length === 0 ? 'cluster' : kinds.includes('*') ? 'namespace' : 'kinds',
    kinds,
    namespaces,
    ...(podSecurity === undefined ? {} : { podSecurity }),
    clusters: clusters
      .filter((cluster) => grant.clusters === undefined || means(grant.clusters, cluster))
      .map((cluster) => cluster.metadata.name)
      .sort(),
    ...(until === undefined ? {} : { until, secondsLeft: Math.round((Date.parse(until) - now.getTime()) / 1000) }),
    ...(reason === undefined ? {} : { reason }),
  }
}
