import type { Ref } from '@muster/kube'
import { groupKind, groupOf, objectKey } from './identity.ts'

/** The order of application. What an object needs stands in an earlier phase; prune goes the other way. */
export const phases = ['definitions', 'namespaces', 'identity', 'storage', 'configuration', 'workloads', 'custom', 'webhooks'] as const
export type Phase = (typeof phases)[number]

/**
 * Waves order what is inside such a group, across its phases. Definitions and namespaces are there before any wave, and webhooks come
 * after all of them, as one may refuse what its own bundle still has to bring.
 */
const groups: Readonly<Record<Phase, number>> = {
  definitions: 0,
  namespaces: 0,
  identity: 1,
  storage: 1,
  configuration: 1,
  workloads: 1,
  custom: 1,
  webhooks: 2,
}

const byKind: ReadonlyMap<string, Phase> = new Map<string, Phase>([
  ['CustomResourceDefinition.apiextensions.k8s.io', 'definitions'],
  ['Namespace', 'namespaces'],
  ['ServiceAccount', 'identity'],
  ['Role.rbac.authorization.k8s.io', 'identity'],
  ['ClusterRole.rbac.authorization.k8s.io', 'identity'],
  ['RoleBinding.rbac.authorization.k8s.io', 'identity'],
  ['ClusterRoleBinding.rbac.authorization.k8s.io', 'identity'],
  ['StorageClass.storage.k8s.io', 'storage'],
  ['CSIDriver.storage.k8s.io', 'storage'],
  ['PersistentVolume', 'storage'],
  ['PersistentVolumeClaim', 'storage'],
  ['ConfigMap', 'configuration'],
  ['Secret', 'configuration'],
  ['ResourceQuota', 'configuration'],
  ['LimitRange', 'configuration'],
  ['PriorityClass.scheduling.k8s.io', 'configuration'],
  ['RuntimeClass.node.k8s.io', 'configuration'],
  ['IngressClass.networking.k8s.io', 'configuration'],
  // Last: a webhook whose server does not run yet would refuse the rest of its own bundle.
  ['ValidatingWebhookConfiguration.admissionregistration.k8s.io', 'webhooks'],
  ['MutatingWebhookConfiguration.admissionregistration.k8s.io', 'webhooks'],
  ['ValidatingAdmissionPolicy.admissionregistration.k8s.io', 'webhooks'],
  ['ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io', 'webhooks'],
  ['MutatingAdmissionPolicy.admissionregistration.k8s.io', 'webhooks'],
  ['MutatingAdmissionPolicyBinding.admissionregistration.k8s.io', 'webhooks'],
  ['APIService.apiregistration.k8s.io', 'webhooks'],
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

/** What is put in order: which object, and its wave where it is not 0. */
export type Ordered = Ref & { readonly wave?: number | undefined }

/** Negative when `a` is applied before `b`. A total order: the same bundle is always applied in the same order. */
export function compareForApply(a: Ordered, b: Ordered): number {
  return compareSteps(a, b) || rank(a) - rank(b) || compareText(objectKey(a), objectKey(b))
}

/** Negative when `a` is pruned before `b`: the reverse of the order of application, waves included. */
export function compareForPrune(a: Ordered, b: Ordered): number {
  return compareForApply(b, a)
}

/** 0 for objects that are applied side by side: of the same wave and phase. */
export function compareSteps(a: Ordered, b: Ordered): number {
  const [one, other] = [phaseOf(a), phaseOf(b)]
  return groups[one] - groups[other] || (a.wave ?? 0) - (b.wave ?? 0) || phases.indexOf(one) - phases.indexOf(other)
}

function rank(what: Ref): number {
  const kind = groupKind(what)
  return early.has(kind) ? 0 : late.has(kind) ? 2 : 1
}

/** By code units, so that the order depends on no locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
