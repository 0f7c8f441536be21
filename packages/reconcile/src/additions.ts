import type { KubeObject } from '@muster/kube'
import { below, type Fields, leaves, locate, outside, type Path, pointer, touches } from './fields.ts'
import { groupKind } from './identity.ts'
import { type FieldOwner, fieldOwners, ownFields } from './managed-fields.ts'
import { isTolerated, type Tolerance, toleratesBelow } from './tolerance.ts'

/** A field that someone else added where only the release has a say, or in the way of what is signed. */
export interface Addition {
  readonly path: Path
  readonly owner: FieldOwner
}

const podTemplate: Path = ['f:spec', 'f:template', 'f:spec']

/**
 * Where what others ADD is drift as well: what decides what runs, and what it may do. Elsewhere (annotations, labels, status) an
 * addition is nobody's business.
 */
const closed: ReadonlyMap<string, readonly Path[]> = new Map<string, readonly Path[]>([
  ['Deployment.apps', [podTemplate]],
  ['StatefulSet.apps', [podTemplate]],
  ['DaemonSet.apps', [podTemplate]],
  ['ReplicaSet.apps', [podTemplate]],
  ['ReplicationController', [podTemplate]],
  ['Job.batch', [podTemplate]],
  ['CronJob.batch', [['f:spec', 'f:jobTemplate', 'f:spec', 'f:template', 'f:spec']]],
  ['Pod', [['f:spec']]],
  ['Role.rbac.authorization.k8s.io', [['f:rules']]],
  ['ClusterRole.rbac.authorization.k8s.io', [['f:rules']]],
  ['RoleBinding.rbac.authorization.k8s.io', [['f:subjects']]],
  ['ClusterRoleBinding.rbac.authorization.k8s.io', [['f:subjects']]],
  ['NetworkPolicy.networking.k8s.io', [['f:spec']]],
  ...['ValidatingAdmissionPolicy', 'MutatingAdmissionPolicy']
    .flatMap((kind) => [kind, `${kind}Binding`])
    .map((kind) => [`${kind}.admissionregistration.k8s.io`, [['f:spec']]] as const),
  ...['ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration'].map(
    (kind) => [`${kind}.admissionregistration.k8s.io`, [['f:webhooks']]] as const,
  ),
])

/** Whether only the release has a say at a path of a kind (as `groupKind` names it). */
export function isClosed(kind: string, path: Path): boolean {
  return (closed.get(kind) ?? []).some((prefix) => prefix.every((element, i) => element === path[i]))
}

/** The controller that fills the rules of an aggregated ClusterRole: they are meant to be its own. */
const aggregator = 'clusterrole-aggregation-controller'

/** The authority of a webhook is written by what keeps its certificate, and the API server then calls the same address by it. */
function isCaBundle(path: Path): boolean {
  return (
    path[0] === 'f:webhooks' &&
    path.length >= 3 &&
    path.slice(2).every((element) => element === 'f:clientConfig' || element === 'f:caBundle')
  )
}

/**
 * What others added where only `manager` has a say. A path is the topmost that the manager owns nothing of; a path that the manager
 * should own and lost is listed too, so apply first, and ask of what apply returned.
 */
export function additionsByOthers(object: KubeObject, manager: string, tolerances: readonly Tolerance[] = []): Addition[] {
  const prefixes = closed.get(groupKind(object))
  if (prefixes === undefined) return []
  const owners = fieldOwners(object)
  // Changes that the manager itself made by other verbs than apply (our own patches) are not another's.
  const others = owners.filter((entry) => entry.manager !== manager && entry.manager !== aggregator && entry.subresource !== 'status')
  if (others.length === 0) return []
  const own = ownFields(object, manager) ?? {}
  return others
    .flatMap((owner) => prefixes.flatMap((prefix) => addedBelow(own, owner, prefix)))
    .flatMap((addition) => splitAt(addition, tolerances))
    .filter(({ path }) => !isCaBundle(path) && !isTolerated(tolerances, path))
}

/** An addition of which a part is tolerated, as its single values. */
function splitAt({ path, owner }: Addition, tolerances: readonly Tolerance[]): Addition[] {
  if (!toleratesBelow(tolerances, path)) return [{ path, owner }]
  return leaves(below(owner.fields, path)).map((leaf) => ({ path: [...path, ...leaf], owner }))
}

function addedBelow(own: Fields, owner: FieldOwner, prefix: Path): Addition[] {
  if (!touches(owner.fields, prefix)) return []
  if (!touches(own, prefix)) return [{ path: prefix, owner }]
  return outside(below(owner.fields, prefix), below(own, prefix)).map((path) => ({ path: [...prefix, ...path], owner }))
}

/** One operation of a JSON patch (RFC 6902). */
export type JsonPatchOperation =
  | { readonly op: 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }

/**
 * A JSON patch that removes these fields from exactly this state of the object: it is refused when the object has changed since.
 * Undefined when the object holds none of them.
 */
export function removalPatch(object: KubeObject, paths: readonly Path[]): JsonPatchOperation[] | undefined {
  const found = paths.flatMap((path) => {
    const segments = locate(object, path)
    return segments === undefined ? [] : [segments]
  })
  const distinct = [...new Map(found.map((segments) => [pointer(segments), segments])).values()]
  const topmost = distinct.filter((segments) => !distinct.some((other) => other !== segments && isAncestor(other, segments)))
  if (topmost.length === 0) return undefined
  // The last item of a list goes first, so that the indexes of the others stay true.
  const ordered = topmost.sort(compareFromEnd)
  return [
    { op: 'test', path: '/metadata/resourceVersion', value: object.metadata.resourceVersion },
    ...ordered.map((segments) => ({ op: 'remove' as const, path: pointer(segments) })),
  ]
}

function isAncestor(a: readonly string[], b: readonly string[]): boolean {
  return a.length < b.length && a.every((segment, i) => segment === b[i])
}

function compareFromEnd(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [left, right] = [a[i] ?? '', b[i] ?? '']
    if (left === right) continue
    const [x, y] = [Number(left), Number(right)]
    if (Number.isInteger(x) && Number.isInteger(y)) return y - x
    return left < right ? 1 : -1
  }
  return b.length - a.length
}
