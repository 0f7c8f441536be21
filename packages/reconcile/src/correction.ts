import { KubeError, type KubeObject } from '@muster/kube'
import { type Addition, additionsByOthers, removalPatch } from './additions.ts'
import { type ClusterApi, calling, fieldManager } from './cluster.ts'
import { groupKind, nameOf, refOf } from './identity.ts'
import { ApplyRefusal } from './refusal.ts'
import { type Reach, restoration } from './restore.ts'
import type { Tolerance } from './tolerance.ts'

/** How often a write is tried again when the object changes meanwhile. */
const writeAttempts = 3

/** Refused by the rules of its kind. Not what fits no schema (500) or is no request (400): there the signed object itself is at fault. */
export function isInvalid(error: unknown): error is KubeError {
  return error instanceof KubeError && error.code === 'Invalid' && error.status === 422
}

const reaches: readonly Reach[] = ['beside', 'everywhere']

/**
 * Writes a restoration (see `restore.ts`): first without what stands beside what is signed; if that is refused too, without anything of
 * others. A write that is refused has changed nothing. Undefined when neither was possible.
 */
export async function restore(
  api: ClusterApi,
  before: KubeObject,
  desired: KubeObject,
  signal: AbortSignal | undefined,
): Promise<readonly Addition[] | undefined> {
  let live: KubeObject | undefined = before
  for (let attempt = 1; live !== undefined; attempt++) {
    try {
      for (const reach of reaches) {
        const found = restoration(live, desired, fieldManager, reach)
        if (found === undefined) continue
        try {
          await api.replace(found.object, { fieldManager, fieldValidation: 'Strict', ...calling(signal) })
          return found.dropped
        } catch (error) {
          if (!isInvalid(error)) throw error
        }
      }
      return undefined
    } catch (error) {
      if (!(error instanceof KubeError && error.code === 'Conflict') || attempt >= writeAttempts) throw error
      live = await api.find(refOf(desired), calling(signal))
    }
  }
  return undefined
}

/**
 * Takes our own replaces and patches out of the books, once an apply owns what is signed. As a second owner they would keep a field
 * alive that a later version of the release does not have any more.
 */
export async function forgetUpdates(api: ClusterApi, object: KubeObject, signal: AbortSignal | undefined): Promise<KubeObject> {
  const isUpdate = (entry: { manager?: string; operation?: string; subresource?: string }): boolean =>
    entry.manager === fieldManager && entry.operation === 'Update' && (entry.subresource ?? '') === ''
  let live = object
  for (let attempt = 1; ; attempt++) {
    const entries = live.metadata.managedFields ?? []
    if (!entries.some(isUpdate)) return live
    const patch = [
      { op: 'test', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion },
      { op: 'replace', path: '/metadata/managedFields', value: entries.filter((entry) => !isUpdate(entry)) },
    ]
    try {
      return await api.patch(refOf(object), patch, { type: 'json', ...calling(signal) })
    } catch (error) {
      if (!(error instanceof KubeError) || error.transient) throw error
      // Somebody wrote in between, such as a controller its status. After some attempts the next apply tries again.
      const found = attempt < writeAttempts ? await api.find(refOf(object), calling(signal)) : undefined
      if (found === undefined) return live
      live = found
    }
  }
}

export async function removeAdditions(
  api: ClusterApi,
  desired: KubeObject,
  applied: KubeObject,
  tolerances: readonly Tolerance[],
  signal: AbortSignal | undefined,
): Promise<{ object: KubeObject; removed: Addition[] }> {
  const ref = refOf(desired)
  const removed: Addition[] = []
  let object = applied
  for (let attempt = 1; ; attempt++) {
    const additions = additionsByOthers(object, fieldManager, tolerances)
    const patch = removalPatch(
      object,
      additions.map((addition) => addition.path),
    )
    if (patch === undefined) return { object, removed }
    try {
      object = await api.patch(ref, patch, { type: 'json', ...calling(signal) })
      removed.push(...additions)
      return { object, removed }
    } catch (error) {
      if (!(error instanceof KubeError)) throw error
      const live = await api.find(ref, calling(signal))
      const moved = live !== undefined && live.metadata.resourceVersion !== object.metadata.resourceVersion
      if (moved && attempt < writeAttempts) {
        object = live
        continue
      }
      // Most of a pod cannot be changed once it runs: the only way back is a new one.
      if (groupKind(desired) !== 'Pod' || error.code !== 'Invalid' || object.metadata.uid === undefined) throw error
      await api.delete(ref, { propagation: 'Background', uid: object.metadata.uid, ...calling(signal) })
      throw new ApplyRefusal('Terminating', `${nameOf(ref)} had parts added that cannot be taken out; it is being replaced.`)
    }
  }
}
