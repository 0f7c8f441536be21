import type { KubeObject, Ref } from '@muster/kube'
import { type ClusterApi, calling, releaseLabel } from './cluster.ts'
import { failureOf, type ObjectFailure } from './failure.ts'
import { holderOf } from './holder.ts'
import { type Hook, hookOf } from './hooks.ts'
import { groupKind, nameOf, objectKey, refOf } from './identity.ts'
import { entryOf, entryRef, type InventoryEntry, subtractInventory, unionInventory } from './inventory.ts'
import { compareForApply, type Phase, phaseOf } from './order.ts'
import { waveAnnotation, waveOf } from './waves.ts'

/** One object as it will be applied. */
export interface PlannedObject {
  readonly key: string
  readonly phase: Phase
  /** Lower waves are applied, and healthy, before it. */
  readonly wave: number
  readonly object: KubeObject
  /**
   * Whether it belongs to the inventory. A namespace, definition or claim that was there before the release is managed but never
   * pruned: what it holds is not the release's.
   */
  readonly ours: boolean
  /** Made where it is missing, and otherwise used as it is, whoever's it is: the namespace that a release merely runs in. */
  readonly optional?: true
  /** What it says of itself as a hook. A job of a hook is not applied with the others. */
  readonly hook?: Hook
}

export interface Plan {
  /** In the order of application. */
  readonly objects: readonly PlannedObject[]
  /** Objects that cannot be applied as they stand. */
  readonly failures: readonly ObjectFailure[]
  /** Entries of the inventory whose object was to be made, and somebody else made it first. They are not the release's. */
  readonly foreign: readonly InventoryEntry[]
}

/** What a watch knows of an object: `unknown` where it cannot say, nothing where there is none. */
export type Sighting = 'unknown' | undefined | { readonly uid: string; readonly holder?: string | undefined }

export interface PlanOptions {
  readonly release: string
  /** For namespaced objects that name none; made when it is missing. Default: the release's name. */
  readonly namespace?: string | undefined
  /** What the release has made so far. */
  readonly inventory: readonly InventoryEntry[]
  /** What is known of an object without asking. Default: nothing. */
  readonly seen?: (ref: Ref) => Sighting
  /** Labels that every object bears beside the release's. */
  readonly labels?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** Kinds that hold what is not the release's own: data, others' objects. */
const protectedKinds: ReadonlySet<string> = new Set([
  'Namespace',
  'PersistentVolumeClaim',
  'PersistentVolume',
  'CustomResourceDefinition.apiextensions.k8s.io',
])

/** True for kinds whose deletion takes along what the release did not make. */
export function isProtected(what: { readonly apiVersion: string; readonly kind: string }): boolean {
  return protectedKinds.has(groupKind(what))
}

/**
 * Turns a bundle's objects into what is applied: the release's label, the default namespace, the namespace itself when it is missing,
 * the order. Nothing else of an object changes, except that replicas are left to an autoscaler of the same release.
 */
export async function planRelease(api: ClusterApi, objects: readonly KubeObject[], options: PlanOptions): Promise<Plan> {
  const { signal } = options
  const failures: ObjectFailure[] = []
  const scopes = scopesOfDefinitions(objects)
  const placed = new Map<string, KubeObject>()
  const namespace = options.namespace ?? options.release
  let defaulted = false
  for (const object of leaveReplicasToAutoscalers(objects)) {
    try {
      const namespaced = scopes.get(groupKind(object)) ?? (await api.resource(object.apiVersion, object.kind, calling(signal))).namespaced
      const target = namespaced ? (object.metadata.namespace ?? namespace) : undefined
      defaulted ||= target === namespace
      const ready = prepare(object, options, target)
      const key = objectKey(refOf(ready))
      if (placed.has(key)) {
        const message = `${nameOf(refOf(ready))} is in the bundle twice; keep one of them.`
        failures.push({ ref: refOf(ready), code: 'Duplicate', message, transient: false })
      } else placed.set(key, ready)
    } catch (error) {
      failures.push(failureOf(refOf(object), error, signal))
    }
  }
  failures.push(...tooManyHooks(placed))
  const look = lookup(api, options)
  const added = defaulted ? await addNamespace(look, placed, namespace, options) : undefined
  const planned: PlannedObject[] = []
  const foreign: InventoryEntry[] = []
  for (const [key, object] of placed) {
    const wave = waveOf(object)
    if (wave === undefined) {
      failures.push(notAWave(object))
      continue
    }
    const hook = hookOf(object)
    if (typeof hook === 'string') {
      failures.push({
        ref: refOf(object),
        code: 'HookInvalid',
        message: `${nameOf(refOf(object))} is no hook: ${hook}. Correct it in the bundle.`,
        transient: false,
      })
      continue
    }
    const known = isProtected(object) ? options.inventory.find((entry) => objectKey(entryRef(entry)) === key) : undefined
    const ours = !isProtected(object) || (await isOurs(look, object, known, options.release))
    if (!ours && known !== undefined) foreign.push(known)
    planned.push({
      key,
      phase: phaseOf(object),
      wave,
      object,
      ours,
      ...(key === added ? { optional: true as const } : {}),
      ...(hook === undefined ? {} : { hook }),
    })
  }
  const ordered = planned.map((item) => ({ item, at: { ...refOf(item.object), wave: item.wave } }))
  return { objects: ordered.sort((a, b) => compareForApply(a.at, b.at)).map(({ item }) => item), failures, foreign }
}

/** What became of each hook is written down in the Release. */
const maxHooks = 512

function tooManyHooks(objects: ReadonlyMap<string, KubeObject>): ObjectFailure[] {
  const hooks = [...objects.values()].filter((object) => groupKind(object) === 'Job.batch' && hookOf(object) !== undefined)
  const beyond = hooks[maxHooks]
  if (beyond === undefined) return []
  const message = `The bundle has ${hooks.length} jobs that are hooks; up to ${maxHooks} can be kept track of. Put what belongs together into one job.`
  return [{ ref: refOf(beyond), code: 'HookInvalid', message, transient: false }]
}

function notAWave(object: KubeObject): ObjectFailure {
  const ref = refOf(object)
  const message = `${nameOf(ref)} has no whole number between -1000000 and 1000000 in its annotation ${waveAnnotation}; correct it in the bundle.`
  return { ref, code: 'WaveInvalid', message, transient: false }
}

type Look = (ref: Ref) => Promise<Exclude<Sighting, 'unknown'>>

/** Asks the API server only for what is not known, and once. */
function lookup(api: ClusterApi, { seen, signal }: PlanOptions): Look {
  const asked = new Map<string, Promise<Exclude<Sighting, 'unknown'>>>()
  return async (ref) => {
    const sighting = seen?.(ref) ?? undefined
    if (seen !== undefined && sighting !== 'unknown') return sighting
    const key = objectKey(ref)
    const asking = asked.get(key) ?? api.find(ref, calling(signal)).then(sightingOf)
    asked.set(key, asking)
    return asking
  }
}

function sightingOf(live: KubeObject | undefined): Exclude<Sighting, 'unknown'> {
  return live && { uid: live.metadata.uid ?? '', holder: holderOf(live) }
}

/** Plans the namespace where it is missing; gives its key then. */
async function addNamespace(look: Look, placed: Map<string, KubeObject>, name: string, options: PlanOptions): Promise<string | undefined> {
  const made = prepare({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }, options, undefined)
  const key = objectKey(refOf(made))
  if (placed.has(key)) return undefined
  const live = await look(refOf(made))
  // One that was there and is not ours is used as it is: not labelled, not owned.
  if (live !== undefined && live.holder !== options.release) return undefined
  placed.set(key, made)
  return key
}

/**
 * Whether a namespace, definition or claim is the release's own. One that the release wrote down and then made bears what it applies;
 * one that came from elsewhere in between does not.
 */
async function isOurs(look: Look, object: KubeObject, known: InventoryEntry | undefined, release: string): Promise<boolean> {
  const live = await look(refOf(object))
  if (live === undefined) return true
  if (known === undefined) return false
  return known.uid === undefined ? live.holder === release : known.uid === live.uid
}

/** Definitions in the bundle say the scope of their kinds before the API server can. */
function scopesOfDefinitions(objects: readonly KubeObject[]): Map<string, boolean> {
  const scopes = new Map<string, boolean>()
  for (const object of objects) {
    if (groupKind(object) !== 'CustomResourceDefinition.apiextensions.k8s.io') continue
    const spec = object['spec'] as { group?: unknown; scope?: unknown; names?: { kind?: unknown } } | undefined
    if (typeof spec?.group === 'string' && typeof spec.names?.kind === 'string') {
      scopes.set(`${spec.names.kind}.${spec.group}`, spec.scope === 'Namespaced')
    }
  }
  return scopes
}

/** Metadata that only the API server writes; exported manifests carry it along. */
const serverOwned: ReadonlySet<string> = new Set([
  'managedFields',
  'resourceVersion',
  'uid',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'selfLink',
  'namespace',
])

function prepare(
  object: KubeObject,
  { release, labels }: Pick<PlanOptions, 'release' | 'labels'>,
  namespace: string | undefined,
): KubeObject {
  const { metadata, status: _status, ...rest } = object
  const kept = Object.fromEntries(Object.entries(metadata).filter(([name]) => !serverOwned.has(name)))
  return {
    ...rest,
    metadata: {
      ...kept,
      name: metadata.name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...metadata.labels, [releaseLabel]: release, ...labels },
    },
  } as KubeObject
}

/**
 * Takes `spec.replicas` out of workloads that an autoscaler of the same bundle scales: owning it would mean a fight over it
 * (Kubernetes documentation, "Migrating Deployments and StatefulSets to horizontal autoscaling").
 */
export function leaveReplicasToAutoscalers(objects: readonly KubeObject[]): KubeObject[] {
  const scaled = new Set(
    objects
      .filter((object) => groupKind(object) === 'HorizontalPodAutoscaler.autoscaling')
      .map((object) => {
        const target = (object['spec'] as { scaleTargetRef?: { kind?: unknown; name?: unknown } } | undefined)?.scaleTargetRef
        return `${object.metadata.namespace ?? ''}/${String(target?.kind)}/${String(target?.name)}`
      }),
  )
  if (scaled.size === 0) return [...objects]
  return objects.map((object) => {
    if (!scaled.has(`${object.metadata.namespace ?? ''}/${object.kind}/${object.metadata.name}`)) return object
    const { replicas: _replicas, ...spec } = (object['spec'] ?? {}) as { [key: string]: unknown }
    return { ...object, spec }
  })
}

/** An inventory without what turned out to be others', and with what the plan will make. */
export function inventoryWith(inventory: readonly InventoryEntry[], plan: Plan): InventoryEntry[] {
  return unionInventory(subtractInventory(inventory, plan.foreign), plannedInventory(plan))
}

/** The inventory entries of a plan: what would be the release's, without uids. */
export function plannedInventory(plan: Plan): InventoryEntry[] {
  return plan.objects.filter((planned) => planned.ours).map((planned) => entryOf(planned.object))
}
