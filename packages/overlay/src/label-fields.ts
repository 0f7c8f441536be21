import { type FieldSpec, fieldSpec } from './field-specs.ts'

/** Where Kustomize (5.8) writes labels and annotations. */

const own = (field: string) => fieldSpec(`metadata/${field}`, { create: true })

const templates = (field: string): FieldSpec[] => [
  fieldSpec(`spec/template/metadata/${field}`, { create: true, version: 'v1', kind: 'ReplicationController' }),
  ...['Deployment', 'ReplicaSet', 'DaemonSet'].map((kind) => fieldSpec(`spec/template/metadata/${field}`, { create: true, kind })),
  fieldSpec(`spec/template/metadata/${field}`, { create: true, group: 'batch', kind: 'Job' }),
  fieldSpec(`spec/jobTemplate/metadata/${field}`, { create: true, group: 'batch', kind: 'CronJob' }),
  fieldSpec(`spec/jobTemplate/spec/template/metadata/${field}`, { create: true, group: 'batch', kind: 'CronJob' }),
]

export const annotationFields: readonly FieldSpec[] = [
  own('annotations'),
  ...templates('annotations'),
  fieldSpec('spec/template/metadata/annotations', { create: true, kind: 'StatefulSet' }),
]

/** The objects themselves. */
export const labelFields: readonly FieldSpec[] = [own('labels')]

/** With `includeTemplates`: pods that an object makes too. */
export const templateLabelFields: readonly FieldSpec[] = [
  ...labelFields,
  ...templates('labels'),
  fieldSpec('spec/template/metadata/labels', { create: true, group: 'apps', kind: 'StatefulSet' }),
  fieldSpec('spec/volumeClaimTemplates[]/metadata/labels', { create: true, group: 'apps', kind: 'StatefulSet' }),
]

const podTerms = [
  'affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels',
  'affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels',
  'affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels',
  'affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels',
  'topologySpreadConstraints/labelSelector/matchLabels',
]

const created = { create: true } as const

/** With `includeSelectors`: and what selects these pods. */
export const selectorLabelFields: readonly FieldSpec[] = [
  fieldSpec('spec/selector', { ...created, version: 'v1', kind: 'Service' }),
  fieldSpec('spec/selector', { ...created, version: 'v1', kind: 'ReplicationController' }),
  fieldSpec('spec/selector/matchLabels', { ...created, kind: 'Deployment' }),
  fieldSpec('spec/selector/matchLabels', { ...created, kind: 'ReplicaSet' }),
  fieldSpec('spec/selector/matchLabels', { ...created, kind: 'DaemonSet' }),
  fieldSpec('spec/selector/matchLabels', { ...created, group: 'apps', kind: 'StatefulSet' }),
  ...['Deployment', 'StatefulSet'].flatMap((kind) =>
    podTerms.map((term) => fieldSpec(`spec/template/spec/${term}`, { group: 'apps', kind })),
  ),
  fieldSpec('spec/selector/matchLabels', { group: 'batch', kind: 'Job' }),
  fieldSpec('spec/jobTemplate/spec/selector/matchLabels', { group: 'batch', kind: 'CronJob' }),
  fieldSpec('spec/selector/matchLabels', { group: 'policy', kind: 'PodDisruptionBudget' }),
  ...['spec/podSelector', 'spec/ingress/from/podSelector', 'spec/egress/to/podSelector'].map((path) =>
    fieldSpec(`${path}/matchLabels`, { group: 'networking.k8s.io', kind: 'NetworkPolicy' }),
  ),
  ...templateLabelFields,
]
