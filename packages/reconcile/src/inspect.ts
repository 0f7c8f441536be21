import type { KubeObject } from '@muster/kube'
import { additionsByOthers } from './additions.ts'
import { type ClusterApi, calling, fieldManager } from './cluster.ts'
import { type Drift, driftBetween } from './drift.ts'
import { refOf } from './identity.ts'
import { ownershipHash } from './managed-fields.ts'
import { type Tolerance, yieldTolerated } from './tolerance.ts'

interface Inspected {
  readonly action: 'Unchanged'
  readonly object: KubeObject
  readonly ownership: string
  readonly yielded: readonly string[]
  readonly difference?: Drift
}

/**
 * What an apply would find to correct: the API server is asked for one that it does not keep. Its `ownership` is that of the object as
 * signed, its `object` the one that is there.
 * @param options with the tolerances of this very object
 */
export async function inspect(
  api: ClusterApi,
  object: KubeObject,
  { tolerances = [], signal }: { readonly tolerances?: readonly Tolerance[]; readonly signal?: AbortSignal },
): Promise<Inspected> {
  const ref = refOf(object)
  const before = await api.find(ref, calling(signal))
  const { object: wanted, yielded } =
    before === undefined ? { object, yielded: [] } : yieldTolerated(object, before, tolerances, fieldManager)
  const after = await api.apply(wanted, { fieldManager, force: true, dryRun: true, ...calling(signal) })
  const difference = driftBetween(ref, before, after, additionsByOthers(after, fieldManager, tolerances), fieldManager)
  return {
    action: 'Unchanged',
    object: before ?? object,
    ownership: ownershipHash(after, fieldManager),
    yielded,
    ...(difference === undefined ? {} : { difference }),
  }
}
