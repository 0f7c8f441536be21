/** Where objects of a kind name an image. */
export interface ImageRule {
  /** Of the kind's API group; the core group is ''. */
  readonly group: string
  readonly kind: string
  /** Keys from the object on; `*` stands for every entry of a list or map. */
  readonly path: readonly string[]
}

/** A rule as it is written in bundle.yaml and kept in bundle.json. */
export interface ImageFieldText {
  readonly apiGroup: string
  readonly kind: string
  /** `spec.containers[*].image`; a key that has dots in quotes: `spec["a.b"].image`. */
  readonly path: string
}

export const imageFieldPattern =
  /^\$?\.?(?:[A-Za-z0-9_-]+|\[\*\]|\["[^"\]]{1,100}"\])(?:\.[A-Za-z0-9_-]+|\[\*\]|\["[^"\]]{1,100}"\]){0,30}$/

export function imageRule({ apiGroup, kind, path }: ImageFieldText): ImageRule {
  const keys = path.replace(/^\$?\.?/, '').match(/[A-Za-z0-9_-]+|\[\*\]|\["[^"\]]+"\]/g) ?? []
  return { group: apiGroup, kind, path: keys.map((key) => (key === '[*]' ? '*' : key.startsWith('["') ? key.slice(2, -2) : key)) }
}

/** The text that {@link imageRule} reads back. */
export function imageFieldText({ group, kind, path }: ImageRule): ImageFieldText {
  const text = path.map((key) => (key === '*' ? '[*]' : /^[A-Za-z0-9_-]+$/.test(key) ? `.${key}` : `["${key}"]`)).join('')
  return { apiGroup: group, kind, path: text.replace(/^\./, '') }
}

const rules = (group: string, kinds: readonly string[], ...paths: readonly string[]): ImageRule[] =>
  kinds.flatMap((kind) => paths.map((path) => imageRule({ apiGroup: group, kind, path })))

const container = (spec: string) => ['initContainers', 'containers'].map((list) => `${spec}.${list}[*].image`)

/** Kinds of others that many clusters have. Versions of a group share their rules. */
const wellKnown: readonly ImageRule[] = [
  ...rules('argoproj.io', ['Rollout'], ...container('spec.template.spec')),
  ...rules(
    'argoproj.io',
    ['Workflow', 'WorkflowTemplate', 'ClusterWorkflowTemplate'],
    ...['container.image', 'script.image', 'initContainers[*].image', 'sidecars[*].image', 'containerSet.containers[*].image'].map(
      (path) => `spec.templates[*].${path}`,
    ),
  ),
  ...rules('serving.knative.dev', ['Service', 'Configuration'], ...container('spec.template.spec')),
  ...rules('tekton.dev', ['Task', 'ClusterTask'], 'spec.steps[*].image', 'spec.sidecars[*].image', 'spec.stepTemplate.image'),
  ...rules('monitoring.coreos.com', ['Prometheus', 'PrometheusAgent', 'Alertmanager', 'ThanosRuler'], 'spec.image', ...container('spec')),
  ...rules('apps.kruise.io', ['CloneSet', 'StatefulSet', 'DaemonSet'], ...container('spec.template.spec')),
  ...rules('jobset.x-k8s.io', ['JobSet'], ...container('spec.replicatedJobs[*].template.spec.template.spec')),
  ...rules('leaderworkerset.x-k8s.io', ['LeaderWorkerSet'], ...container('spec.leaderWorkerTemplate.workerTemplate.spec')),
  ...rules('keda.sh', ['ScaledJob'], ...container('spec.jobTargetRef.template.spec')),
  ...rules('postgresql.cnpg.io', ['Cluster'], 'spec.imageName'),
  ...rules('acid.zalan.do', ['postgresql'], 'spec.dockerImage'),
  ...rules('kubevirt.io', ['VirtualMachine'], 'spec.template.spec.volumes[*].containerDisk.image'),
  ...rules('kubevirt.io', ['VirtualMachineInstance'], 'spec.volumes[*].containerDisk.image'),
  ...rules('kafka.strimzi.io', ['Kafka'], 'spec.kafka.image', 'spec.zookeeper.image'),
]

const wellKnownByKind = byKind(wellKnown)

/** Rules by `group/kind`. */
export function byKind(list: readonly ImageRule[]): ReadonlyMap<string, readonly ImageRule[]> {
  return Map.groupBy(list, ({ group, kind }) => `${group}/${kind}`)
}

/** The rules for a kind: those that are known, and those that a bundle brings. */
export function rulesFor(group: string, kind: string, more: readonly ImageRule[]): readonly ImageRule[] {
  const own = more.filter((rule) => rule.group === group && rule.kind === kind)
  return [...(wellKnownByKind.get(`${group}/${kind}`) ?? []), ...own]
}
