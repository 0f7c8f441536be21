/** `metav1.OwnerReference`: the object that this one goes away with. */
export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

/** `metav1.ManagedFieldsEntry`: who owns which fields. */
export interface ManagedFieldsEntry {
  manager?: string
  operation?: 'Apply' | 'Update'
  apiVersion?: string
  time?: string
  fieldsType?: string
  fieldsV1?: Readonly<Record<string, unknown>>
  subresource?: string
}

/** `metav1.ObjectMeta`, the parts that controllers use. `resourceVersion` is opaque: compare it for equality only. */
export interface ObjectMeta {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  labels?: Readonly<Record<string, string>>
  annotations?: Readonly<Record<string, string>>
  finalizers?: readonly string[]
  creationTimestamp?: string
  deletionTimestamp?: string
  deletionGracePeriodSeconds?: number
  ownerReferences?: readonly OwnerReference[]
  managedFields?: readonly ManagedFieldsEntry[]
}

/** What every object of the API has. Kinds with fields of their own are written as types that have these three. */
export interface TypedObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
}

/** An object of a kind that is not known when the code is written. */
export interface KubeObject extends TypedObject {
  [key: string]: unknown
}

/** Names one object. Without `namespace`, an object of a namespaced kind is looked for in the client's own namespace. */
export interface Ref {
  apiVersion: string
  kind: string
  name: string
  namespace?: string | undefined
}

/** Names many objects of one kind. Without `namespace`: of all namespaces. Selectors in the syntax of kubectl (`app=x,tier!=y`). */
export interface Selection {
  apiVersion: string
  kind: string
  namespace?: string | undefined
  labelSelector?: string | undefined
  fieldSelector?: string | undefined
}

/** The key of an object within its kind: `namespace/name`, or `name` where it has no namespace. */
export function keyOf(object: { metadata: { name: string; namespace?: string | undefined } }): string {
  const { namespace, name } = object.metadata
  return namespace ? `${namespace}/${name}` : name
}

/** Takes a key apart. Names never hold a slash, so the first one ends the namespace. */
export function parseKey(key: string): { name: string; namespace?: string } {
  const slash = key.indexOf('/')
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) }
}

/** Names an object that one has. */
export function refOf(object: TypedObject): Ref {
  const { name, namespace } = object.metadata
  return { apiVersion: object.apiVersion, kind: object.kind, name, ...(namespace ? { namespace } : {}) }
}

/** How an object is called in messages: `Deployment default/web`. */
export function describe(what: { kind: string; name?: string | undefined; namespace?: string | undefined }): string {
  const name = what.name === undefined ? '' : what.namespace ? ` ${what.namespace}/${what.name}` : ` ${what.name}`
  return `${what.kind}${name}`
}

/** API group of an apiVersion: `apps/v1` → `apps`, `v1` → the empty string (the core group). */
export function groupOf(apiVersion: string): string {
  const slash = apiVersion.indexOf('/')
  return slash < 0 ? '' : apiVersion.slice(0, slash)
}

/** True for what could be an object of the API; says nothing about its kind's own fields. */
export function isObject(value: unknown): value is KubeObject {
  if (!isRecord(value) || !isRecord(value['metadata'])) return false
  return typeof value['metadata']['name'] === 'string'
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
