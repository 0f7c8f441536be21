import type { Grant } from '@muster/api'
import { KubeError, type KubeObject } from '@muster/kube'
import { groupKind } from '@muster/reconcile'
import { covers } from './coverage.ts'

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

/** Of a kind, a group and a resource that a definition may name. Anything else, such as a star, would be more than a kind in the rules of a role. */
const kindName = /^[A-Za-z][A-Za-z0-9]{0,62}$/
const groupName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$/
const resourceName = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/

/**
 * Kinds that a bundle's own definitions will bring: those that its tenant may bring at all. A bundle says so before the API server has looked at
 * it, so nothing is taken that the API server would not take.
 */
export function definedTypes(objects: readonly KubeObject[], grants: readonly Grant[]): ResourceType[] {
  return objects.flatMap((object) => {
    const { apiVersion, kind, metadata } = object
    if (groupKind(object) !== 'CustomResourceDefinition.apiextensions.k8s.io') return []
    if (!covers(grants, { apiVersion, kind, name: metadata.name })) return []
    const spec = object['spec'] as { group?: unknown; scope?: unknown; names?: { kind?: unknown; plural?: unknown } } | undefined
    const { group, scope, names } = spec ?? {}
    const { kind: named, plural } = names ?? {}
    if (!is(groupName, group) || !is(kindName, named) || !is(resourceName, plural)) return []
    return [{ kind: `${named}.${group}`, group, resource: plural, namespaced: scope === 'Namespaced' }]
  })
}

function is(pattern: RegExp, text: unknown): text is string {
  return typeof text === 'string' && text.length <= 253 && pattern.test(text)
}
