import type { ReleaseTenant } from '@muster/api'
import { type Impersonation, isKubeError, type KubeClient, type KubeObject, type Ref } from '@muster/kube'
import { actingAgentKey, type ClusterApi, contentOf, nameOf, objectKey, refOf } from '@muster/reconcile'
import {
  accountOf,
  activeGrants,
  definedTypes,
  discoveryAccept,
  namespacesOf,
  nextEnd,
  notGranted,
  type ResourceType,
  readResourceTypes,
  tenantLabel,
  tenantNamespace,
  tenantRights,
  userOf,
} from '@muster/tenancy'
import type { ChannelContent } from '@muster/trust'
import type { Clock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import type { Logger } from './logger.ts'
import { clusterLabel } from './release/release-object.ts'

const fieldManager = 'muster-tenancy'
/** Rights are looked at this often, in milliseconds, whatever happens. */
const checkMs = 10 * 60_000
const failedAgainMs = 5_000
/** How long an apply that began within a grant may go on after its end, in milliseconds. */
const lingerMs = 5 * 60_000
const lingerCheckMs = 1_000

export interface TenancyOptions {
  readonly client: KubeClient
  /** Of the agent, where the tenants' accounts are. */
  readonly namespace: string
  readonly cluster: string
  readonly clock: Clock
  readonly logger: Logger
  /** The channel in force, where there is one. */
  readonly content: () => ChannelContent | undefined
  /** Told when a grant has ended: releases stand anew. */
  readonly ended: () => void
}

/**
 * The tenants of this cluster: for each an account and exactly the rights of its grants, as long as they hold, and the namespaces of the
 * grants. A channel that cannot be read says nothing of tenants, and changes nothing; a grant ends by the clock, with or without it.
 */
export class Tenancy {
  readonly name = 'tenancy'
  readonly #options: TenancyOptions
  readonly #labels: Readonly<Record<string, string>>
  /** What was last brought about for a tenant, so that an apply asks for nothing that is there. */
  readonly #brought = new Map<string, { readonly text: string; readonly atMs: number }>()
  /** Applies under way, by tenant. */
  readonly #acting = new Map<string, number>()
  readonly #lingering = new Map<string, number>()
  /** Namespaces that a tenant was granted and that are somebody else's here, by tenant. */
  readonly #foreign = new Map<string, ReadonlySet<string>>()
  #roundAtMs = 0
  #turn: Promise<unknown> = Promise.resolve()
  #wake = new AbortController()

  constructor(options: TenancyOptions) {
    this.#options = options
    this.#labels = { [clusterLabel]: options.cluster }
  }

  /** Another channel is in force, or a release of a tenant is gone. */
  lookAgain(): void {
    this.#wake.abort()
  }

  /**
   * Sees to it that a tenant has its account, its rights and its namespaces, before something is applied as it.
   * @param objects of the bundle, whose definitions bring kinds that are not served yet
   * @throws KubeError
   */
  async prepare(tenant: ReleaseTenant | undefined, objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
    if (tenant === undefined) return
    await this.#inTurn(() => this.#bring(tenant, objects, signal))
  }

  /** Why a tenant may not write these objects now; undefined where it may. */
  objection(tenant: ReleaseTenant, objects: readonly Ref[]): string | undefined {
    return notGranted(tenant, objects, this.#options.clock.now(), this.#foreign.get(tenant.name))
  }

  /** Forgets what was brought about: something was refused that should be allowed. */
  doubt(tenant: string): void {
    this.#brought.delete(tenant)
  }

  /** Runs an apply as a tenant: rights that end meanwhile stay until it is through, for some minutes at most. */
  async whileActing<T>(tenant: ReleaseTenant | undefined, apply: () => Promise<T>): Promise<T> {
    if (tenant === undefined) return apply()
    const { name } = tenant
    this.#acting.set(name, (this.#acting.get(name) ?? 0) + 1)
    try {
      return await apply()
    } finally {
      const left = (this.#acting.get(name) ?? 1) - 1
      if (left === 0) this.#acting.delete(name)
      else this.#acting.set(name, left)
    }
  }

  /** Writes as a tenant, whatever is written. */
  acting(tenant: ReleaseTenant): ClusterApi {
    const as = this.#as(tenant)
    return writingAs(this.#options.client, () => as)
  }

  /**
   * Keeps or takes away what was applied: as the tenant where its grants still are for the object, and as the agent itself where they are
   * not any more, or the tenant has no release left here. What is kept was within them when it was applied.
   */
  keeping(tenant: ReleaseTenant | undefined): ClusterApi {
    const { client, content } = this.#options
    const channel = content()
    if (tenant === undefined || (channel !== undefined && !tenantsOf(channel).has(tenant.name))) return client
    const as = this.#as(tenant)
    return writingAs(client, (ref) => (this.objection(tenant, [ref]) === undefined ? as : undefined))
  }

  /** A tenant's account, by the agent's hand: by that the write guard knows it from what else uses the account. */
  #as({ name }: ReleaseTenant): Impersonation {
    const { namespace, cluster } = this.#options
    return { user: userOf(name, namespace), extra: { [actingAgentKey]: [cluster] } }
  }

  /** Keeps rights as the channel and the clock have them, until stopped. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, content } = this.#options
    while (!signal.aborted) {
      this.#wake = new AbortController()
      let wait = checkMs
      try {
        const channel = content()
        if (channel !== undefined) wait = await this.#inTurn(() => this.#round(tenantsOf(channel), signal))
      } catch (error) {
        if (signal.aborted) return
        logger.warn({ code: codeOf(error), reason: messageOf(error) }, 'the rights of tenants cannot be kept now; it is tried again')
        wait = failedAgainMs
      }
      await clock.sleep(wait, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined)
    }
  }

  /** One at a time: what one takes away another may just have made. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work)
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  /** @returns when to look again, in milliseconds */
  async #round(tenants: ReadonlyMap<string, ReleaseTenant>, signal: AbortSignal): Promise<number> {
    const { clock, ended } = this.#options
    for (const tenant of tenants.values()) await this.#bring(tenant, [], signal)
    const now = clock.now()
    const lingering = await this.#takeAway(tenants, now, signal)
    const sinceMs = this.#roundAtMs
    this.#roundAtMs = now.getTime()
    const passed = [...tenants.values()].some(({ grants }) =>
      grants.some(({ until }) => until !== undefined && Date.parse(until) > sinceMs && Date.parse(until) <= now.getTime()),
    )
    if (passed) ended()
    const ends = [...tenants.values()].flatMap(({ grants }) => nextEnd(grants, now) ?? []).map((end) => end.getTime() - now.getTime())
    return Math.max(0, Math.min(checkMs, ...(lingering ? [lingerCheckMs] : []), ...ends))
  }

  async #bring(tenant: ReleaseTenant, objects: readonly KubeObject[], signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options
    const now = clock.now()
    const grants = activeGrants(tenant.grants, now)
    if (grants.length === 0) return
    const defined = definedTypes(objects, grants)
    const text = JSON.stringify([grants, defined])
    const before = this.#brought.get(tenant.name)
    if (before?.text === text && now.getTime() - before.atMs < checkMs) return
    const foreign = new Set<string>()
    for (const name of namespacesOf(grants)) {
      if (!(await this.#bringNamespace(name, tenant.name, grants, signal))) foreign.add(name)
    }
    this.#foreign.set(tenant.name, foreign)
    const known = await this.#types(signal)
    const types = [...known, ...defined.filter(({ kind }) => !known.some((type) => type.kind === kind))]
    for (const object of this.#rights(tenant, types, now)) await client.apply(object, { fieldManager, force: true, signal })
    // A namespace that somebody labels meanwhile is noticed at the next try.
    if (foreign.size === 0) this.#brought.set(tenant.name, { text, atMs: now.getTime() })
  }

  /** What a tenant has now, but for namespaces that are somebody else's. */
  #rights({ name, grants }: ReleaseTenant, types: readonly ResourceType[], now: Date): KubeObject[] {
    const foreign = this.#foreign.get(name)
    const own = activeGrants(grants, now).flatMap((grant) => {
      if (grant.namespaces === undefined || grant.namespaces.length === 0) return [grant]
      const namespaces = grant.namespaces.filter((namespace) => foreign?.has(namespace) !== true)
      return namespaces.length === 0 ? [] : [{ ...grant, namespaces }]
    })
    return tenantRights({ tenant: name, grants: own, types, systemNamespace: this.#options.namespace, labels: this.#labels })
  }

  /** @returns whether the namespace is the tenant's: made here for it, or given to it by somebody who labelled it so */
  async #bringNamespace(name: string, tenant: string, grants: ReleaseTenant['grants'], signal: AbortSignal): Promise<boolean> {
    const { client, namespace } = this.#options
    // The hub refuses such grants already; a cluster does not rely on it.
    if (name === namespace || /^(kube|muster)-/.test(name)) return false
    const wanted = tenantNamespace(name, { tenant, grants, labels: this.#labels })
    const live = await client.find({ apiVersion: 'v1', kind: 'Namespace', name }, { signal })
    if (live === undefined) {
      try {
        await client.create(wanted, { fieldManager, signal })
        return true
      } catch (error) {
        if (isKubeError(error, 'AlreadyExists')) return this.#bringNamespace(name, tenant, grants, signal)
        throw error
      }
    }
    const { labels = {} } = live.metadata
    if (labels[tenantLabel] !== tenant) return false
    if (labels[clusterLabel] === this.#options.cluster) await client.apply(wanted, { fieldManager, force: true, signal })
    return true
  }

  async #types(signal: AbortSignal): Promise<ResourceType[]> {
    const { client } = this.#options
    const ask = (path: string) => client.raw('GET', path, { headers: { accept: discoveryAccept }, signal })
    return readResourceTypes(await ask('/api'), await ask('/apis'))
  }

  /**
   * Takes away rights that nothing grants any more, and the empty namespaces of tenants that are gone.
   * @returns whether something stays for now, since an apply is under way
   */
  async #takeAway(tenants: ReadonlyMap<string, ReleaseTenant>, now: Date, signal: AbortSignal): Promise<boolean> {
    const { client, logger } = this.#options
    const owned = await this.#owned(signal)
    if (owned.length === 0) return false
    const types = tenants.size === 0 ? [] : await this.#types(signal)
    const wanted = new Set(
      [...tenants.values()].flatMap((tenant) => this.#rights(tenant, types, now)).map((object) => objectKey(refOf(object))),
    )
    const lingering = new Set<string>()
    for (const object of owned) {
      const tenant = object.metadata.labels?.[tenantLabel] ?? ''
      if (wanted.has(objectKey(refOf(object)))) continue
      if (object.kind === 'Namespace') {
        if (!tenants.has(tenant)) await this.#leaveNamespace(object, signal)
      } else if (object.metadata.name !== accountOf(tenant)) {
        // Not by us, whatever its labels say.
      } else if (this.#mayLinger(tenant, now)) {
        lingering.add(tenant)
      } else {
        await client.delete(refOf(object), { propagation: 'Background', ...precondition(object), signal })
        this.#brought.delete(tenant)
        logger.info({ tenant, object: nameOf(refOf(object)) }, 'took away a right that nothing grants any more')
      }
    }
    for (const tenant of this.#lingering.keys()) if (!lingering.has(tenant)) this.#lingering.delete(tenant)
    return lingering.size > 0
  }

  /** An apply that began within a grant is brought to its end, but not for ever. */
  #mayLinger(tenant: string, now: Date): boolean {
    if (!this.#acting.has(tenant)) return false
    const since = this.#lingering.get(tenant) ?? now.getTime()
    this.#lingering.set(tenant, since)
    return now.getTime() - since < lingerMs
  }

  /** A namespace that was made for a tenant which is gone: deleted where nothing is in it. */
  async #leaveNamespace(object: KubeObject, signal: AbortSignal): Promise<void> {
    const { client, logger } = this.#options
    if (object.metadata.deletionTimestamp !== undefined) return
    const { name } = object.metadata
    if ((await contentOf(client, name, 1, signal)).length > 0) return
    await client.delete(refOf(object), { propagation: 'Background', ...precondition(object), signal })
    logger.info({ namespace: name }, 'deleted the empty namespace of a tenant that is gone')
  }

  async #owned(signal: AbortSignal): Promise<KubeObject[]> {
    const { client, cluster, namespace } = this.#options
    const labelSelector = `${tenantLabel},${clusterLabel}=${cluster}`
    const rbac = 'rbac.authorization.k8s.io/v1'
    const kinds = [
      { apiVersion: rbac, kind: 'RoleBinding' },
      { apiVersion: rbac, kind: 'ClusterRoleBinding' },
      { apiVersion: rbac, kind: 'Role' },
      { apiVersion: rbac, kind: 'ClusterRole' },
      { apiVersion: 'v1', kind: 'ServiceAccount', namespace },
      { apiVersion: 'v1', kind: 'Namespace' },
    ]
    const lists: KubeObject[] = []
    for (const kind of kinds) lists.push(...(await client.list({ ...kind, labelSelector }, { signal })).items)
    return lists
  }
}

/** The tenants that a channel knows, by name. */
function tenantsOf(content: ChannelContent): ReadonlyMap<string, ReleaseTenant> {
  return new Map(
    content.releases.flatMap(({ settings }) => (settings?.tenant === undefined ? [] : [[settings.tenant.name, settings.tenant]])),
  )
}

function precondition({ metadata: { uid } }: KubeObject): { uid: string } | Record<string, never> {
  return uid === undefined ? {} : { uid }
}

/** A client whose writes are made as somebody. Reads are the agent's own: what it looks at is not the tenant's to see. */
function writingAs(client: KubeClient, as: (ref: Ref) => Impersonation | undefined): ClusterApi {
  return {
    find: (ref, options) => client.find(ref, options),
    raw: (method, path, options) => client.raw(method, path, options),
    resource: (apiVersion, kind, options) => client.resource(apiVersion, kind, options),
    apply: (object, options) => client.apply(object, { ...options, as: as(refOf(object)) }),
    replace: (object, options) => client.replace(object, { ...options, as: as(refOf(object)) }),
    patch: (ref, patch, options) => client.patch(ref, patch, { ...options, as: as(ref) }),
    delete: (ref, options) => client.delete(ref, { ...options, as: as(ref) }),
  }
}
