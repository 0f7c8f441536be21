import { type Cluster, type Grant, isReservedNamespace, means, type ReleaseTenant, type Tenant, type TenantGrant } from '@muster/api'

/** What of a cluster grants look at. */
type Selectable = Pick<Cluster, 'metadata'>

/** What of a tenant's grants does not go into a channel, and why. */
export interface Objection {
  readonly reason: 'Invalid' | 'NamespaceTaken'
  readonly message: string
}

/**
 * A tenant as the channel of a cluster carries it: the grants that are for this cluster, without namespaces that belong to others. A
 * tenant that nobody knows is one without grants: its releases get nothing, not everything.
 */
export function tenantIn(cluster: Selectable, name: string, tenants: readonly Tenant[]): ReleaseTenant {
  const tenant = tenants.find((one) => one.metadata.name === name)
  const grants = (tenant?.spec.grants ?? []).flatMap((grant): Grant[] => {
    if (!isFor(grant, cluster) || invalid(grant) !== undefined) return []
    const { clusters: _clusters, reason: _reason, namespaces, ...rest } = grant
    if (namespaces === undefined || namespaces.length === 0) return [rest]
    const own = namespaces.filter((namespace) => ownerOf(namespace, cluster, tenants)?.metadata.name === name)
    return own.length === 0 ? [] : [{ ...rest, namespaces: own }]
  })
  return { name, grants }
}

/** What is wrong with a tenant as it is written, first of all for which namespaces it comes too late. */
export function objectionTo(tenant: Tenant, tenants: readonly Tenant[], clusters: readonly Cluster[]): Objection | undefined {
  for (const grant of tenant.spec.grants) {
    const why = invalid(grant)
    if (why !== undefined) return { reason: 'Invalid', message: `Grant ${grant.name} is not given: ${why}` }
  }
  for (const grant of tenant.spec.grants) {
    for (const cluster of clusters.filter((one) => isFor(grant, one))) {
      for (const namespace of grant.namespaces ?? []) {
        const owner = ownerOf(namespace, cluster, tenants)
        if (owner === undefined || owner.metadata.name === tenant.metadata.name) continue
        const message = `Namespace ${namespace} in cluster ${cluster.metadata.name} belongs to tenant ${owner.metadata.name}, which claimed it first: grant ${grant.name} is given without it.`
        return { reason: 'NamespaceTaken', message }
      }
    }
  }
  return undefined
}

/** The tenant that a namespace belongs to: the oldest of those that claim it. That a grant has ended gives it to nobody else. */
function ownerOf(namespace: string, cluster: Selectable, tenants: readonly Tenant[]): Tenant | undefined {
  const claims = tenants.filter((tenant) =>
    tenant.spec.grants.some((grant) => isFor(grant, cluster) && invalid(grant) === undefined && grant.namespaces?.includes(namespace)),
  )
  return claims.toSorted(byAge)[0]
}

function byAge(a: Tenant, b: Tenant): number {
  const [one, other] = [a, b].map(({ metadata }) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`) as [string, string]
  return one < other ? -1 : one > other ? 1 : 0
}

function isFor({ clusters }: TenantGrant, cluster: Selectable): boolean {
  return clusters === undefined || means(clusters, cluster)
}

/** Kinds by which a tenant would get what it was not given. */
const neverGranted: ReadonlyMap<string, string> = new Map([
  ['Namespace', 'namespaces come from the grant itself, and a tenant that writes them could take off what bounds its pods.'],
  ['Node', 'nodes belong to nobody alone.'],
])

function invalid({ kinds, namespaces = [] }: TenantGrant): string | undefined {
  const reserved = namespaces.find(isReservedNamespace)
  if (reserved !== undefined) return `namespace ${reserved} is of Kubernetes or Muster itself; whoever writes there rules the cluster.`
  for (const kind of kinds) {
    const never = neverGranted.get(kind)
    if (never !== undefined) return `no tenant gets ${kind}: ${never}`
    if (kind === '*' && namespaces.length === 0) return '* stands for kinds that live in namespaces, and it names none. Name the kinds.'
  }
  return undefined
}
