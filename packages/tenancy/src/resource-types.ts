import { KubeError, type KubeObject } from '@muster/kube'
import { groupKind } from '@muster/reconcile'

/** A kind as the API server serves it. */
export interface ResourceType {
  /** `Deployment.apps` */
  readonly kind: string
  readonly group: string
  /** Plural, as in paths and in RBAC. */
  readonly resource: string
  readonly namespaced: boolean
}

/** Asks for all groups at once (Kubernetes' aggregated discovery, since 1.27). */
export const discoveryAccept = [
  'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
  'application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList',
].join(',')

interface Discovery {
  readonly kind?: unknown
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string }
    readonly versions?: readonly {
      readonly resources?: readonly {
        readonly resource?: string
        readonly responseKind?: { readonly group?: string; readonly kind?: string }
        readonly scope?: string
        readonly verbs?: readonly string[]
      }[]
    }[]
  }[]
}

/**
 * Reads the answers of `/api` and `/apis`. A kind that several versions of a group have is one.
 * @throws KubeError `BadResponse` where an answer is no aggregated discovery: then nobody knows what there is
 */
export function readResourceTypes(...answers: readonly unknown[]): ResourceType[] {
  const types = new Map<string, ResourceType>()
  for (const answer of answers as readonly Discovery[]) {
    if (answer?.kind !== 'APIGroupDiscoveryList')
      throw new KubeError('BadResponse', 'The API server does not list its kinds in one answer. Tenants need Kubernetes 1.27 or later.')
    for (const { metadata, versions } of answer.items ?? []) {
      const group = metadata?.name ?? ''
      for (const { resource, responseKind, scope, verbs } of (versions ?? []).flatMap((version) => version.resources ?? [])) {
        if (resource === undefined || responseKind?.kind === undefined || !verbs?.includes('patch')) continue
        const kind = group === '' ? responseKind.kind : `${responseKind.kind}.${group}`
        if (!types.has(kind)) types.set(kind, { kind, group, resource, namespaced: scope === 'Namespaced' })
      }
    }
  }
  return [...types.values()]
}

/** Kinds that a bundle's own definitions will bring. */
export function definedTypes(objects: readonly KubeObject[]): ResourceType[] {
  return objects.flatMap((object) => {
    if (groupKind(object) !== 'CustomResourceDefinition.apiextensions.k8s.io') return []
    const spec = object['spec'] as { group?: unknown; scope?: unknown; names?: { kind?: unknown; plural?: unknown } } | undefined
    const { group, scope, names } = spec ?? {}
    if (typeof group !== 'string' || typeof names?.kind !== 'string' || typeof names.plural !== 'string') return []
    return [{ kind: `${names.kind}.${group}`, group, resource: names.plural, namespaced: scope === 'Namespaced' }]
  })
}
