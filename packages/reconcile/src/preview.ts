import type { KubeObject, Ref } from '@muster/kube'
import { type ApplyOptions, attempt, judgeConflicts, standingOf, type TakeOver } from './apply.ts'
import { type ClusterApi, calling } from './cluster.ts'
import { failureOf } from './failure.ts'
import { isHookJob } from './hooks.ts'
import { groupKind, refOf } from './identity.ts'
import { entryRef, type InventoryEntry, isLeftBy, subtractInventory } from './inventory.ts'
import type { Plan, PlannedObject } from './plan.ts'
import { isRecreatable, wouldBeValid } from './recreate.ts'
import { ApplyRefusal } from './refusal.ts'

/** What an apply would do to one object, as the API server itself says. */
export interface Preview {
  readonly ref: Ref
  /** `Refused`: `code` and `message` say why, as the Release would. */
  readonly what: 'Same' | 'Created' | 'Changed' | 'Adopted' | 'Recreated' | 'Removed' | 'Refused'
  /** As it is now, and as it would be. */
  readonly before?: KubeObject
  readonly after?: KubeObject
  readonly code?: string
  readonly message?: string
}

export interface PreviewOptions {
  readonly release: string
  /** What the release has made so far: what the plan does not have of it would be removed. */
  readonly inventory: readonly InventoryEntry[]
  readonly takeOver?: TakeOver
  /** What the release applied last in an object's place; see `ApplyOptions`. */
  readonly last?: (key: string) => KubeObject | undefined
  readonly signal?: AbortSignal
}

const concurrency = 8

/** Says what applying a plan would do, by asking the API server to do it without writing; jobs of hooks are run, not applied. @throws only when aborted */
export async function previewPlan(api: ClusterApi, plan: Plan, options: PreviewOptions): Promise<Preview[]> {
  const { release, takeOver, last, signal } = options
  const previews = new Map<string, Preview>()
  const places = new NewPlaces()
  const one = async ({ key, object }: PlannedObject): Promise<void> => {
    const letsGo = (holder: string) => isLeftBy(options.inventory, holder, key)
    const asked = { release, letsGo, last: async () => last?.(key), ...(takeOver && { takeOver }), ...(signal && { signal }) }
    // The server knows nothing of an object in a namespace, or of a kind, that would only be made: then there is none of it either.
    const preview = places.has(object)
      ? { ref: refOf(object), what: 'Created' as const, after: object }
      : await previewObject(api, object, asked)
    previews.set(key, preview)
    if (preview.what === 'Created') places.add(object)
  }
  const objects = plan.objects.filter((planned) => !isHookJob(planned))
  const isPlace = ({ phase }: PlannedObject): boolean => phase === 'definitions' || phase === 'namespaces'
  for (const items of [objects.filter(isPlace), objects.filter((item) => !isPlace(item))]) {
    let next = 0
    const worker = async (): Promise<void> => {
      for (let item = items[next++]; item !== undefined; item = items[next++]) await one(item)
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
  }
  const removed = subtractInventory(
    options.inventory.filter(({ madeBy }) => madeBy === undefined),
    plan.objects.map(({ object }) => refOf(object)),
  ).map((entry): Preview => ({ ref: entryRef(entry), what: 'Removed' }))
  const failed = plan.failures.map(({ ref, code, message }): Preview => ({ ref, what: 'Refused', code, message }))
  return [...plan.objects.flatMap(({ key }) => previews.get(key) ?? []), ...failed, ...removed]
}

/** Namespaces and kinds that would be made. */
class NewPlaces {
  readonly #namespaces = new Set<string>()
  readonly #kinds = new Set<string>()

  add(object: KubeObject): void {
    if (groupKind(object) === 'Namespace') this.#namespaces.add(object.metadata.name)
    if (groupKind(object) !== 'CustomResourceDefinition.apiextensions.k8s.io') return
    const { group, names } = object['spec'] as { group: string; names: { kind: string } }
    this.#kinds.add(`${names.kind}.${group}`)
  }

  has(object: KubeObject): boolean {
    return this.#kinds.has(groupKind(object)) || this.#namespaces.has(object.metadata.namespace ?? '')
  }
}

async function previewObject(api: ClusterApi, object: KubeObject, options: ApplyOptions): Promise<Preview> {
  const ref = refOf(object)
  const { signal } = options
  try {
    const before = await api.find(ref, calling(signal))
    if (before === undefined) return await previewCreation(api, object, options)
    const standing = standingOf(before, options)
    let result = await attempt(api, object, { force: false, dryRun: true, signal })
    if ('conflicts' in result) {
      await judgeConflicts(result.conflicts, before, standing, options)
      result = await attempt(api, object, { force: true, dryRun: true, signal })
    }
    if ('applied' in result) {
      const what = standing === 'adopted' ? 'Adopted' : isSame(before, result.applied) ? 'Same' : 'Changed'
      return { ref, what, before, after: result.applied }
    }
    if ('conflicts' in result || !(await wouldBeValid(api, object, signal)))
      return refused(ref, 'invalid' in result ? result.invalid : undefined, signal)
    if (isRecreatable(object)) return { ref, what: 'Recreated' }
    return { ...refused(ref, result.invalid, signal), code: 'Immutable' }
  } catch (error) {
    return refused(ref, error, signal)
  }
}

async function previewCreation(api: ClusterApi, object: KubeObject, { signal }: ApplyOptions): Promise<Preview> {
  const ref = refOf(object)
  const result = await attempt(api, object, { force: true, dryRun: true, signal })
  return 'applied' in result
    ? { ref, what: 'Created', after: result.applied }
    : refused(ref, 'invalid' in result ? result.invalid : undefined, signal)
}

function refused(ref: Ref, error: unknown, signal: AbortSignal | undefined): Preview {
  if (error instanceof ApplyRefusal) return { ref, what: 'Refused', code: error.code, message: error.message }
  const { code, message } = failureOf(ref, error, signal)
  return { ref, what: 'Refused', code, message }
}

/** What the API server counts is no difference. */
const counted: ReadonlySet<string> = new Set(['managedFields', 'resourceVersion', 'generation'])

function isSame(before: KubeObject, after: KubeObject): boolean {
  return JSON.stringify(withoutCounts(before)) === JSON.stringify(withoutCounts(after))
}

/** An object without its status and without what the API server counts: what a difference is looked for in. */
export function withoutCounts({ metadata, status: _, ...rest }: KubeObject): KubeObject {
  const kept = Object.fromEntries(Object.entries(metadata).filter(([name]) => !counted.has(name)))
  return { ...rest, metadata: { ...kept, name: metadata.name } } as KubeObject
}
