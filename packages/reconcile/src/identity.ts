import type { KubeObject, Ref } from '@muster/kube'

/** The API group of an apiVersion; `''` for the core group. */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/')
  return slash < 0 ? '' : apiVersion.slice(0, slash)
}

/** `Kind.group`, `Kind` in the core group: how a kind is named whatever its version. */
export function groupKind(what: { readonly apiVersion: string; readonly kind: string }): string {
  const group = groupOf(what.apiVersion)
  return group === '' ? what.kind : `${what.kind}.${group}`
}

/** One string per object in a cluster, the same for all served versions of its kind: `Deployment.apps/namespace/name`. */
export function objectKey(what: Ref): string {
  return `${groupKind(what)}/${what.namespace ?? ''}/${what.name}`
}

/** Which object an object is. */
export function refOf(object: KubeObject): Ref {
  const { name, namespace } = object.metadata
  return { apiVersion: object.apiVersion, kind: object.kind, name, ...(namespace === undefined ? {} : { namespace }) }
}

/** An object as people name it: `Deployment apps/podinfo`. */
export function nameOf(what: Ref): string {
  return `${what.kind} ${what.namespace === undefined ? '' : `${what.namespace}/`}${what.name}`
}
