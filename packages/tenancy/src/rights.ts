import type { Grant } from '@muster/api'
import type { KubeObject } from '@muster/kube'
import { meantByAll, never, tenantLabel } from './coverage.ts'
import type { ResourceType } from './resource-types.ts'

/** What a release does with its objects. Neither `bind`, `escalate` nor `impersonate`: what a tenant does not have, it gives to nobody. */
const verbs = ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete', 'deletecollection']

const rbac = 'rbac.authorization.k8s.io'

export interface RightsOptions {
  readonly tenant: string
  /** Grants that have not ended. */
  readonly grants: readonly Grant[]
  /** Kinds that there are. */
  readonly types: readonly ResourceType[]
  /** Namespace of the agent, where the tenant's account is. */
  readonly systemNamespace: string
  /** Labels of what the agent makes, beside the tenant's. */
  readonly labels: Readonly<Record<string, string>>
}

/** Name of the account that a tenant's releases act as, and of its roles. */
export function accountOf(tenant: string): string {
  return `muster-tenant-${tenant}`
}

/** The user that the account is to the API server. */
export function userOf(tenant: string, systemNamespace: string): string {
  return `system:serviceaccount:${systemNamespace}:${accountOf(tenant)}`
}

/** The tenant's account and exactly the rights that its grants amount to. Nothing where there is no grant. Pure. */
export function tenantRights(options: RightsOptions): KubeObject[] {
  const { tenant, grants, systemNamespace } = options
  if (grants.length === 0) return []
  const labels = { ...options.labels, [tenantLabel]: tenant }
  const account: KubeObject = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: accountOf(tenant), namespace: systemNamespace, labels },
    // It is acted as; no pod runs as it.
    automountServiceAccountToken: false,
  }
  const places = [undefined, ...namespacesOf(grants)]
  return [account, ...places.flatMap((namespace) => roleIn(namespace, options, labels))]
}

/** The namespaces of grants, in order. */
export function namespacesOf(grants: readonly Grant[]): string[] {
  return [...new Set(grants.flatMap(({ namespaces }) => namespaces ?? []))].sort()
}

function roleIn(namespace: string | undefined, options: RightsOptions, labels: Record<string, string>): KubeObject[] {
  const { tenant, grants, types, systemNamespace } = options
  const here = grants.filter(({ namespaces = [] }) => (namespace === undefined ? namespaces.length === 0 : namespaces.includes(namespace)))
  const rules = rulesOf(
    // All kinds are those of namespaces: where there is none, each kind is named.
    here.flatMap(({ kinds }) => kinds.filter((kind) => namespace !== undefined || kind !== '*')),
    types.filter((type) => type.namespaced === (namespace !== undefined) && !never.has(type.kind)),
  )
  if (rules.length === 0) return []
  const prefix = namespace === undefined ? 'Cluster' : ''
  const metadata = { name: accountOf(tenant), ...(namespace === undefined ? {} : { namespace }), labels }
  return [
    { apiVersion: `${rbac}/v1`, kind: `${prefix}Role`, metadata, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: `${prefix}RoleBinding`,
      metadata,
      roleRef: { apiGroup: rbac, kind: `${prefix}Role`, name: accountOf(tenant) },
      subjects: [{ kind: 'ServiceAccount', name: accountOf(tenant), namespace: systemNamespace }],
    },
  ]
}

interface Rule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
}

/** One rule for each API group, in order. */
function rulesOf(kinds: readonly string[], types: readonly ResourceType[]): Rule[] {
  const resources = new Map<string, Set<string>>()
  const add = (group: string, resource: string): void => {
    const known = resources.get(group)
    if (known === undefined) resources.set(group, new Set([resource]))
    else known.add(resource)
  }
  for (const kind of kinds) {
    const [name, subresource] = kind.split('/')
    for (const type of types) {
      if (kind === '*' ? !meantByAll(type.kind) : type.kind !== name) continue
      add(type.group, subresource === undefined ? type.resource : `${type.resource}/${subresource}`)
    }
  }
  return [...resources.keys()].sort().map((group) => ({ apiGroups: [group], resources: [...(resources.get(group) ?? [])].sort(), verbs }))
}

const levels = ['restricted', 'baseline', 'privileged'] as const

/** A tenant's namespace. Where several grants say what its pods may, the strictest holds. */
export function tenantNamespace(name: string, { tenant, grants, labels }: Pick<RightsOptions, 'tenant' | 'grants' | 'labels'>): KubeObject {
  const said = grants.filter(({ namespaces }) => namespaces?.includes(name)).map(({ podSecurity }) => podSecurity)
  const level = levels.find((one) => said.includes(one)) ?? 'baseline'
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { ...labels, [tenantLabel]: tenant, 'pod-security.kubernetes.io/enforce': level } },
  }
}
