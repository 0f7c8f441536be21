import { containersOf, podSpecOf } from '../images.ts'
import { describeObject, groupOf, isRecord, type KubeObjectLike } from '../object.ts'

/** Something that a bundle asks to be allowed. */
export interface Permission {
  /** `ServiceAccount shop/web`, or the object that asks. */
  readonly who: string
  /** `secrets`, `apps/deployments`, `the host's network`, … */
  readonly what: string
  /** Of what RBAC grants. */
  readonly verbs?: readonly string[]
  /** `the whole cluster`, `namespace shop`, `its namespace` */
  readonly where?: string
}

const maximumPermissions = 20_000

/** All that objects ask: by RBAC, by privileges of pods, and by a say in what others write. Sorted; verbs of one thing together. */
export function permissionsOf(objects: readonly KubeObjectLike[]): Permission[] {
  const collected = new Map<string, { permission: Permission; verbs: Set<string> }>()
  const add = (permission: Permission, verbs: readonly string[] = []): void => {
    const key = [permission.who, permission.what, permission.where ?? ''].join('\u0000')
    const entry = collected.get(key) ?? { permission, verbs: new Set<string>() }
    if (collected.size >= maximumPermissions && !collected.has(key)) return
    for (const verb of verbs) entry.verbs.add(verb)
    collected.set(key, entry)
  }
  const roles = new Map(objects.filter(isRole).map((role) => [roleKey(role.kind, role.metadata.namespace, role.metadata.name), role]))
  for (const object of objects) {
    if (groupOf(object) === 'rbac.authorization.k8s.io' && object.kind.endsWith('RoleBinding')) bindingPermissions(object, roles, add)
    podPermissions(object, (what) => add({ who: describeObject(object), what }))
    if (groupOf(object) === 'admissionregistration.k8s.io' && object.kind.endsWith('WebhookConfiguration')) {
      const may = object.kind.startsWith('Mutating') ? 'change' : 'refuse'
      for (const text of webhookResources(object))
        add({ who: describeObject(object), what: `a say in what others write (to ${may} it): ${text}` })
    }
  }
  return [...collected.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, { permission, verbs }]) => (verbs.size === 0 ? permission : { ...permission, verbs: [...verbs].sort() }))
}

type Add = (permission: Permission, verbs?: readonly string[]) => void

function isRole({ kind, apiVersion }: KubeObjectLike): boolean {
  return apiVersion.startsWith('rbac.authorization.k8s.io/') && (kind === 'Role' || kind === 'ClusterRole')
}

function roleKey(kind: string, namespace: string | undefined, name: string): string {
  return [kind, kind === 'Role' ? (namespace ?? '') : '', name].join('\u0000')
}

function bindingPermissions(binding: KubeObjectLike, roles: ReadonlyMap<string, KubeObjectLike>, add: Add): void {
  const reference = binding['roleRef']
  if (!isRecord(reference)) return
  const { namespace } = binding.metadata
  const kind = String(reference['kind'])
  const name = String(reference['name'])
  const role = roles.get(roleKey(kind, namespace, name))
  const isClusterWide = binding.kind === 'ClusterRoleBinding'
  const where = isClusterWide ? 'the whole cluster' : namespace === undefined ? 'its namespace' : `namespace ${namespace}`
  for (const subject of entriesOf(binding['subjects'])) {
    const at = typeof subject['namespace'] === 'string' ? `${subject['namespace']}/` : ''
    const who = `${String(subject['kind'])} ${at}${String(subject['name'])}`
    if (role === undefined) add({ who, what: `all that the ${kind} ${name} of the cluster allows`, where })
    // A role whose rules the cluster puts together.
    else if (role['aggregationRule'] !== undefined) add({ who, what: `all that the aggregated ${kind} ${name} comes to allow`, where })
    else for (const rule of entriesOf(role['rules'])) rulePermissions(rule, who, where, add)
  }
}

function rulePermissions(rule: Record<string, unknown>, who: string, where: string, add: Add): void {
  const verbs = textsOf(rule['verbs'])
  const names = textsOf(rule['resourceNames'])
  const only = names.length === 0 ? '' : ` named ${names.sort().join(', ')}`
  for (const group of textsOf(rule['apiGroups'])) {
    for (const resource of textsOf(rule['resources'])) {
      const everything = group === '*' && resource === '*'
      add({ who, what: everything ? `everything${only}` : `${group === '' ? '' : `${group}/`}${resource}${only}`, where }, verbs)
    }
  }
  for (const url of textsOf(rule['nonResourceURLs'])) add({ who, what: `the path ${url} of the API server`, where }, verbs)
}

function podPermissions(object: KubeObjectLike, add: (what: string) => void): void {
  const spec = podSpecOf(object)
  if (spec === undefined) return
  if (spec['hostNetwork'] === true) add("the host's network")
  if (spec['hostPID'] === true) add("the host's processes")
  if (spec['hostIPC'] === true) add("the host's shared memory")
  for (const volume of entriesOf(spec['volumes'])) {
    const path = isRecord(volume['hostPath']) ? volume['hostPath']['path'] : undefined
    if (typeof path === 'string') add(`the host's folder ${path}`)
  }
  for (const container of containersOf(spec)) {
    const context = container['securityContext']
    if (!isRecord(context)) continue
    const name = String(container['name'])
    if (context['privileged'] === true) add(`a privileged container (${name})`)
    const { capabilities } = context
    for (const capability of isRecord(capabilities) ? textsOf(capabilities['add']) : [])
      add(`the capability ${capability} (container ${name})`)
  }
}

function webhookResources(object: KubeObjectLike): string[] {
  return entriesOf(object['webhooks']).flatMap((webhook) =>
    entriesOf(webhook['rules']).flatMap((rule) => {
      const groups = textsOf(rule['apiGroups'])
      return textsOf(rule['resources']).flatMap((resource) => groups.map((group) => (group === '' ? resource : `${group}/${resource}`)))
    }),
  )
}

export function entriesOf(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isRecord) : []
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

/** `ServiceAccount shop/web may get, list secrets in the whole cluster` */
export function permissionText({ who, what, verbs, where }: Permission): string {
  const may =
    verbs === undefined ? (where === undefined ? 'asks for' : 'may do') : `may ${verbs.includes('*') ? 'do all to' : verbs.join(', ')}`
  return `${who} ${may} ${what}${where === undefined ? '' : ` in ${where}`}`
}
