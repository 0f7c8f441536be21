import type { Grant } from '@muster/api'
import type { Ref } from '@muster/kube'
import { groupKind, nameOf } from '@muster/reconcile'

/** Label on everything that the agent makes for a tenant, and on the tenant's namespaces. Its value is the tenant's name. */
export const tenantLabel = 'muster.dev/tenant'

/** Kinds by which a namespace and its pods are bounded: a grant of all kinds does not mean them. */
const bounds: ReadonlySet<string> = new Set(['ResourceQuota', 'LimitRange'])

/** Kinds by which a tenant would get what it was not given. The hub refuses such grants already; a cluster does not rely on it. */
export const never: ReadonlySet<string> = new Set(['Namespace', 'Node'])

/** Whether `*` in a grant stands for a kind, given as `Kind.group`. */
export function meantByAll(kind: string): boolean {
  return !bounds.has(kind) && !kind.endsWith('.muster.dev')
}

/** Grants that have not ended. */
export function activeGrants(grants: readonly Grant[], now: Date): Grant[] {
  return grants.filter(({ until }) => until === undefined || Date.parse(until) > now.getTime())
}

/** When the next of these grants ends; undefined where none does. */
export function nextEnd(grants: readonly Grant[], now: Date): Date | undefined {
  const ends = activeGrants(grants, now).flatMap(({ until }) => (until === undefined ? [] : [Date.parse(until)]))
  return ends.length === 0 ? undefined : new Date(Math.min(...ends))
}

/** Whether one of these grants is for an object. One of a namespaced kind must name its namespace. */
export function covers(grants: readonly Grant[], object: Ref): boolean {
  return grants.some((grant) => isFor(grant, object))
}

function isFor({ kinds, namespaces = [] }: Grant, object: Ref): boolean {
  const kind = groupKind(object)
  if (object.namespace === undefined) return namespaces.length === 0 && kinds.includes(kind) && !never.has(kind)
  if (!namespaces.includes(object.namespace)) return false
  return kinds.includes(kind) || (kinds.includes('*') && meantByAll(kind))
}

/** How many objects are named in a refusal. */
const maxNamed = 5

/**
 * Why objects may not be written, in sentences that name them; undefined where all of them may.
 * @param objects as they would be applied: of a namespaced kind with their namespace
 * @param foreign namespaces of the cluster that are not the tenant's, whatever was granted
 */
export function notGranted(
  tenant: { readonly name: string; readonly grants: readonly Grant[] },
  objects: readonly Ref[],
  now: Date,
  foreign: ReadonlySet<string> = new Set(),
): string | undefined {
  const active = activeGrants(tenant.grants, now)
  const outside = objects.filter((object) => foreign.has(object.namespace ?? '') || !covers(active, object))
  if (outside.length === 0) return undefined
  const named = outside
    .slice(0, maxNamed)
    .map(
      (object) =>
        `${nameOf(object)} (${foreign.has(object.namespace ?? '') ? notOwn(tenant.name, object) : why(tenant.grants, object, now)})`,
    )
  const more = outside.length > maxNamed ? ` and ${outside.length - maxNamed} more` : ''
  return `Tenant ${tenant.name} may not have: ${named.join(', ')}${more}.`
}

function notOwn(tenant: string, { namespace }: Ref): string {
  return `namespace ${namespace} was there and is not the tenant's; where it shall be: kubectl label namespace ${namespace} ${tenantLabel}=${tenant}`
}

function why(grants: readonly Grant[], object: Ref, now: Date): string {
  const active = new Set(activeGrants(grants, now))
  const ended = grants.find((grant) => !active.has(grant) && isFor(grant, object))
  if (ended !== undefined) return `grant ${ended.name} ended at ${ended.until}`
  const kind = groupKind(object)
  if (kind === 'Namespace') return 'namespaces come from the grant; take it out of the bundle'
  if (object.namespace === undefined) return `no grant has ${kind}, which lives in no namespace`
  const here = grants.filter(({ namespaces }) => namespaces?.includes(object.namespace ?? ''))
  return here.length === 0 ? `no grant has namespace ${object.namespace}` : `no grant has ${kind} in namespace ${object.namespace}`
}
