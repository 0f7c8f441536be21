import type { Ref } from '@muster/kube'
import { groupKind, groupOf, objectKey } from './identity.ts'

/** The order of application. What an object needs stands in an earlier phase; prune goes the other way. */
export const phases = ['definitions', 'namespaces', 'access', 'storage', 'config', 'workloads', 'custom', 'guards'] as const
export type Phase = (typeof phases)[number]

const byKind: ReadonlyMap<string, Phase> = new Map<string, Phase>([
  ['CustomResourceDefinition.apiextensions.k8s.io', 'definitions'],
  ['Namespace', 'namespaces'],
  ['ServiceAccount', 'access'],
  ['Role.rbac.authorization.k8s.io', 'access'],
  ['ClusterRole.rbac.authorization.k8s.io', 'access'],
  ['RoleBinding.rbac.authorization.k8s.io', 'access'],
  ['ClusterRoleBinding.rbac.authorization.k8s.io', 'access'],
  ['StorageClass.storage.k8s.io', 'storage'],
  ['CSIDriver.storage.k8s.io', 'storage'],
  ['PersistentVolume', 'storage'],
  ['PersistentVolumeClaim', 'storage'],
  ['ConfigMap', 'config'],
  ['Secret', 'config'],
  ['ResourceQuota', 'config'],
  ['LimitRange', 'config'],
  ['PriorityClass.scheduling.k8s.io', 'config'],
  ['RuntimeClass.node.k8s.io', 'config'],
  ['IngressClass.networking.k8s.io', 'config'],
  // Guards come last: a webhook whose server does not run yet would refuse the rest of its own bundle.
  ['ValidatingWebhookConfiguration.admissionregistration.k8s.io', 'guards'],
  ['MutatingWebhookConfiguration.admissionregistration.k8s.io', 'guards'],
  ['ValidatingAdmissionPolicy.admissionregistration.k8s.io', 'guards'],
  ['ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io', 'guards'],
  ['MutatingAdmissionPolicy.admissionregistration.k8s.io', 'guards'],
  ['MutatingAdmissionPolicyBinding.admissionregistration.k8s.io', 'guards'],
  ['APIService.apiregistration.k8s.io', 'guards'],
])

/** Within a phase: what others point at comes first. */
const early: ReadonlySet<string> = new Set([
  'ServiceAccount',
  'Role.rbac.authorization.k8s.io',
  'ClusterRole.rbac.authorization.k8s.io',
  'StorageClass.storage.k8s.io',
  'PersistentVolume',
  'ResourceQuota',
  'LimitRange',
  'PriorityClass.scheduling.k8s.io',
  'Service',
])
const late: ReadonlySet<string> = new Set([
  'HorizontalPodAutoscaler.autoscaling',
  'PodDisruptionBudget.policy',
  'Ingress.networking.k8s.io',
  'APIService.apiregistration.k8s.io',
])

const builtInGroups: ReadonlySet<string> = new Set(['', 'apps', 'batch', 'autoscaling', 'policy', 'extensions'])

/** The phase in which objects of this kind are applied. */
export function phaseOf(what: { readonly apiVersion: string; readonly kind: string }): Phase {
  const known = byKind.get(groupKind(what))
  if (known !== undefined) return known
  const group = groupOf(what.apiVersion)
  return builtInGroups.has(group) || isKubernetesGroup(group) ? 'workloads' : 'custom'
}

/** Groups that the API server itself serves end in `.k8s.io` without `x-k8s.io`, which is for definitions of the community. */
function isKubernetesGroup(group: string): boolean {
  return group.endsWith('.k8s.io') && !group.endsWith('.x-k8s.io') && group.split('.').length === 3
}

/** Negative when `a` is applied before `b`. A total order: the same bundle is always applied in the same order. */
export function compareForApply(a: Ref, b: Ref): number {
  return phases.indexOf(phaseOf(a)) - phases.indexOf(phaseOf(b)) || rank(a) - rank(b) || compareText(objectKey(a), objectKey(b))
}

/** Negative when `a` is pruned before `b`: the reverse of the order of application. */
export function compareForPrune(a: Ref, b: Ref): number {
  return compareForApply(b, a)
}

function rank(what: Ref): number {
  const kind = groupKind(what)
  return early.has(kind) ? 0 : late.has(kind) ? 2 : 1
}

/** By code units, so that the order depends on no locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
