import type { KubeObject } from '@muster/kube'
import { fieldManager, guardLabel, releaseLabel } from '../cluster.ts'
import type { PathStep } from '../tolerance.ts'
import { kubernetesControllers } from './controllers.ts'
import { celString, lostWithin } from './lost-within.ts'

/** Label of the guard's own objects; its value is the cluster's name. */
export const guardPartLabel = 'muster.dev/guard-of'
/** Key of what the agent adds when it acts as somebody else, with the cluster's name as the value. */
export const actingAgentKey = 'muster.dev/agent'

/** Somebody who may write some fields of some objects: a controller, or, for what is ignored, anybody. */
export interface GuardExemption {
  readonly release: string
  readonly kind?: string | undefined
  readonly namespace?: string | undefined
  readonly name?: string | undefined
  /** Name of the account; absent: anybody. */
  readonly user?: string | undefined
  readonly paths: readonly (readonly PathStep[])[]
}

export interface GuardOptions {
  readonly cluster: string
  /** Where the agent keeps its own objects. */
  readonly namespace: string
  /** The account by which the agent writes. */
  readonly user: string
  readonly exemptions: readonly GuardExemption[]
  /** Workloads whose replicas are owned, and the releases they belong to: `deployments.<namespace>.<name>` → release. */
  readonly scales: ReadonlyMap<string, string>
  /** Releases whose objects others may write, and until when (ISO 8601). */
  readonly open: ReadonlyMap<string, string>
}

/** More than this of either is left to correction. */
const maxExemptions = 100
const maxScales = 4_000

/** What makes up the guard: two parameters, one policy, two bindings. In the order in which they are applied. */
export function guardObjects(options: GuardOptions): KubeObject[] {
  const { cluster, namespace, scales } = options
  const open = Object.fromEntries([...options.open].map(([release, until]) => [`open.${release}`, until]))
  const name = guardName(cluster)
  const scaleData = Object.fromEntries([...scales].slice(0, maxScales).map(([key, release]) => [`scale.${key}`, release]))
  const labels = { [guardPartLabel]: cluster }
  const parameter = (suffix: string, data: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    // The guard guards its own parameters; policies cannot guard policies.
    metadata: { name: `muster-guard${suffix}`, namespace, labels: { ...labels, [guardLabel]: cluster } },
    data,
  })
  const binding = (suffix: string, matchResources: object): KubeObject => ({
    apiVersion: policyVersion,
    kind: 'ValidatingAdmissionPolicyBinding',
    metadata: { name: `${name}${suffix}`, labels },
    spec: {
      policyName: name,
      validationActions: ['Deny'],
      // Without its parameter the guard is off: an outage of the guard must not hold up the cluster, and drift is corrected all the same.
      paramRef: { name: `muster-guard${suffix}`, namespace, parameterNotFoundAction: 'Allow' },
      matchResources,
    },
  })
  return [
    parameter('', open),
    parameter('-scale', { ...scaleData, ...open }),
    { apiVersion: policyVersion, kind: 'ValidatingAdmissionPolicy', metadata: { name, labels }, spec: policy(options) },
    binding('', { objectSelector: { matchLabels: { [guardLabel]: cluster } } }),
    binding('-scale', { resourceRules: [{ ...scaleRule, operations: ['UPDATE'] }] }),
  ]
}

function guardName(cluster: string): string {
  return `muster-guard.${cluster}`
}

/** How a workload is named in `scales`; nothing for what has no replicas that the guard knows. */
export function scaleKey({ apiVersion, kind, metadata }: KubeObject): string | undefined {
  const resource = scalable.get(`${apiVersion.split('/')[0]} ${kind}`)
  if (resource === undefined || metadata.namespace === undefined) return undefined
  const key = `${resource}.${metadata.namespace}.${metadata.name}`
  return key.length > 200 ? undefined : key
}

const policyVersion = 'admissionregistration.k8s.io/v1'
const scalable: ReadonlyMap<string, string> = new Map([
  ['apps Deployment', 'deployments'],
  ['apps StatefulSet', 'statefulsets'],
  ['apps ReplicaSet', 'replicasets'],
  ['v1 ReplicationController', 'replicationcontrollers'],
])
const scaleRule = { apiGroups: ['apps', ''], apiVersions: ['*'], resources: [...scalable.values()].map((resource) => `${resource}/scale`) }

/** The entry of the agent in the books of an object: which fields it owns. */
function ownIn(object: string): string {
  const own = `e.manager == '${fieldManager}' && e.operation == 'Apply' && !has(e.subresource)`
  return `${object} != null && has(${object}.metadata.managedFields) ? ${object}.metadata.managedFields.filter(e, ${own}).map(e, e.fieldsV1) : []`
}

function policy(options: GuardOptions): object {
  const { cluster, user } = options
  const exemptions = options.exemptions.slice(0, maxExemptions)
  const variables = [
    { name: 'before', expression: ownIn('oldObject') },
    { name: 'after', expression: ownIn('object') },
    { name: 'kept', expression: 'oldObject != null ? oldObject : object' },
    {
      name: 'scale',
      expression: "'scale.' + request.resource.resource + '.' + request.?namespace.orValue('') + '.' + request.?name.orValue('')",
    },
    {
      name: 'release',
      expression: `request.?subResource.orValue('') == 'scale' ? params.data[?variables.scale].orValue('') : variables.kept.?metadata.?labels[?'${releaseLabel}'].orValue('')`,
    },
    { name: 'until', expression: "params.?data[?'open.' + variables.release].orValue('')" },
    { name: 'open', expression: openNow },
    { name: 'taken', expression: 'variables.before.size() > 0 && variables.before != variables.after' },
    { name: 'closed', expression: closedChanged },
    { name: 'exempt', expression: exemptions.map(exemption).join(' || ') || 'false' },
    { name: 'exemptClosed', expression: exemptions.filter(reachesClosed).map(forObject).join(' || ') || 'false' },
    { name: 'owners', expression: 'object.?metadata.?ownerReferences.orValue([]) != oldObject.?metadata.?ownerReferences.orValue([])' },
    { name: 'exemptOwners', expression: exemptions.filter(reachesOwners).map(forObject).join(' || ') || 'false' },
    { name: 'exemptScale', expression: exemptions.filter(reachesReplicas).map(forScale).join(' || ') || 'false' },
    {
      name: 'what',
      expression: `variables.release == '' ? 'It' : 'Release ' + variables.release + ' of cluster ${cluster}'`,
    },
    {
      name: 'who',
      expression: `'. Only the agent (${user}) may change it: place another version, or other settings (drift) with the placement.' + (variables.release == '' ? '' : ' In an emergency, who may sign it opens it for a time: muster break-glass ' + variables.release + ' --cluster ${cluster} --for 30m --reason TEXT')`,
    },
    {
      name: 'fields',
      expression: fieldsTaken,
    },
  ]
  return {
    failurePolicy: 'Fail',
    paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    matchConstraints: {
      resourceRules: [
        { apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], operations: ['CREATE', 'UPDATE', 'DELETE'] },
        { ...scaleRule, operations: ['UPDATE'] },
      ],
    },
    matchConditions: [
      {
        name: 'not-the-agent',
        expression: `request.userInfo.username != ${celString(user)} && !(${celString(cluster)} in request.userInfo.?extra[?'${actingAgentKey}'].orValue([]))`,
      },
      {
        name: 'not-kubernetes-itself',
        expression: `!(request.userInfo.username in [${kubernetesControllers.map(celString).join(', ')}])`,
      },
    ],
    variables,
    validations: [
      {
        reason: 'Forbidden',
        expression: `request.operation == 'DELETE' || request.?subResource.orValue('') != '' || !has(request.options.fieldManager) || request.options.fieldManager != '${fieldManager}'`,
        messageExpression: `"nobody but the agent writes as field manager ${fieldManager}: use another one"`,
      },
      {
        reason: 'Forbidden',
        expression:
          "request.operation != 'UPDATE' || request.?subResource.orValue('') != '' || !variables.taken || variables.open || variables.exempt",
        messageExpression:
          "variables.what + ' sets what you change (' + variables.fields.join(', ') + ' of ' + request.resource.resource + ' ' + request.?name.orValue('') + ')' + variables.who",
      },
      {
        reason: 'Forbidden',
        expression:
          "request.operation != 'UPDATE' || request.?subResource.orValue('') != '' || variables.before.size() == 0 || !variables.closed || variables.open || variables.exemptClosed",
        messageExpression:
          "variables.what + ' alone says what stands in the part of ' + request.resource.resource + ' ' + request.?name.orValue('') + ' that you change (pod template, rules, subjects, network policy)' + variables.who",
      },
      // Kubernetes deletes what has owners when they are gone: who names another owner deletes by another's hand.
      {
        reason: 'Forbidden',
        expression:
          "request.operation != 'UPDATE' || request.?subResource.orValue('') != '' || variables.before.size() == 0 || !variables.owners || variables.open || variables.exemptOwners",
        messageExpression:
          "variables.what + ' alone says which owners (ownerReferences) ' + request.resource.resource + ' ' + request.?name.orValue('') + ' has' + variables.who",
      },
      {
        reason: 'Forbidden',
        expression: "request.operation != 'DELETE' || variables.before.size() == 0 || variables.open",
        messageExpression:
          "variables.what + ' holds ' + request.resource.resource + ' ' + request.?name.orValue('') + ', which you delete' + variables.who",
      },
      {
        reason: 'Forbidden',
        expression:
          "request.?subResource.orValue('') != 'scale' || !(variables.scale in params.?data.orValue({})) || object.spec.?replicas.orValue(0) == oldObject.spec.?replicas.orValue(0) || variables.open || variables.exemptScale",
        messageExpression:
          "variables.what + ' sets the replicas of ' + request.resource.resource + ' ' + request.?name.orValue('') + variables.who",
      },
    ],
  }
}

/**
 * Whether somebody broke glass for the release and its time is not over by the clock of the API server: that has written the time of this
 * update into the books. A deletion and the `scale` subresource bear no time: for them it is open until the agent closes it.
 */
const openNow =
  "variables.until != '' && (request.operation == 'DELETE' || request.?subResource.orValue('') != '' || (has(object.metadata.managedFields) && object.metadata.managedFields.size() > 0 && object.metadata.managedFields.all(e, !has(e.time) || timestamp(e.time) < timestamp(variables.until))))"

const lost = (key: string, before: string, after: string): string =>
  `(${key} != '.' && (!(${key} in ${after}) || ${before}[${key}] != ${after}[${key}]))`
const [beforeOne, afterOne] = ['variables.before[0]', 'variables.after[0]']
/** Which fields the agent would own no more, or not wholly: two levels deep, such as `spec.replicas`. */
const fieldsTaken = `variables.before.size() == 0 ? [] : variables.after.size() == 0 ? ${beforeOne}.map(k, k.replace('f:', '')) : ${beforeOne}.filter(k, ${lost('k', beforeOne, afterOne)}).map(k, (${beforeOne}[k].size() == 0 ? k : ${beforeOne}[k].filter(j, j != '.' && (!(k in ${afterOne}) || ${lost('j', `${beforeOne}[k]`, `${afterOne}[k]`)})).map(j, k + '.' + j).join(', ')).replace('f:', ''))`

/** Whether something changed where only the release has a say; compare `closed` in `additions.ts`. Policies cannot guard policies. */
const closedChanged = [
  [
    "request.resource.resource in ['deployments', 'statefulsets', 'daemonsets', 'replicasets', 'replicationcontrollers', 'jobs']",
    'spec.?template.?spec',
  ],
  ["request.resource.resource == 'cronjobs'", 'spec.?jobTemplate.?spec.?template.?spec'],
  ["request.resource.resource == 'pods' && request.resource.group == ''", 'spec'],
  ["request.resource.resource in ['roles', 'clusterroles']", 'rules'],
  ["request.resource.resource in ['rolebindings', 'clusterrolebindings']", 'subjects'],
  ["request.resource.resource == 'networkpolicies'", 'spec'],
]
  .map(([when, path]) => `(${when} && object.?${path}.orValue({}) != oldObject.?${path}.orValue({}))`)
  .join(' || ')

function forObject({ release, kind, namespace, name, user }: GuardExemption): string {
  const conditions = [
    `variables.release == ${celString(release)}`,
    ...(user === undefined ? [] : [`request.userInfo.username == ${celString(user)}`]),
    ...(kind === undefined ? [] : [ofKind(kind)]),
    ...(namespace === undefined ? [] : [`request.?namespace.orValue('') == ${celString(namespace)}`]),
    ...(name === undefined ? [] : [`request.?name.orValue('') == ${celString(name)}`]),
  ]
  return `(${conditions.join(' && ')})`
}

function ofKind(kind: string): string {
  const [name = '', ...group] = kind.split('.')
  const named = `request.kind.kind == ${celString(name)}`
  return group.length === 0 ? named : `${named} && request.kind.group == ${celString(group.join('.'))}`
}

function exemption(one: GuardExemption): string {
  const within = lostWithin('variables.before[0]', 'variables.after[0]', one.paths)
  return `(${forObject(one)} && variables.after.size() > 0 && ${within})`
}

/** The scale of an object is no object of its kind. */
function forScale({ kind: _, ...rest }: GuardExemption): string {
  return forObject(rest)
}

function reachesReplicas({ paths }: GuardExemption): boolean {
  return paths.some((path) => path.length <= 2 && leadsAlong(path, ['spec', 'replicas']))
}

function reachesOwners({ paths }: GuardExemption): boolean {
  return paths.some((path) => leadsAlong(path, ['metadata', 'ownerReferences']))
}

/** Whether a path goes to these fields, to what is above them, or below. */
function leadsAlong(path: readonly PathStep[], fields: readonly string[]): boolean {
  return fields.slice(0, path.length).every((field, i) => leadsTo(path[i], field))
}

function leadsTo(step: PathStep | undefined, field: string): boolean {
  return step !== undefined && 'field' in step && step.field === field
}

const closedRoots = ['template', 'jobTemplate', 'rules', 'subjects']

/** Whether an exemption is for something where only the release has a say: what it adds beside its paths is corrected, not refused. */
function reachesClosed({ kind, paths }: GuardExemption): boolean {
  return paths.some((path) => {
    const fields = path.slice(0, 2).flatMap((step) => ('field' in step ? [step.field] : []))
    return (
      fields.some((field) => closedRoots.includes(field)) ||
      (kind !== undefined && /^(Pod|NetworkPolicy)\b/.test(kind)) ||
      path.length === 1
    )
  })
}
