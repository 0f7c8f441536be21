import type { KubeObject } from '@muster/kube'
import { planRelease, refOf } from '@muster/reconcile'
import type { LoadedBundle, WantedBundle } from '../bundle-loader.ts'
import { codeOf, messageOf } from '../error.ts'
import type { Watches } from '../watches.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import type { Tracked } from './runtime.ts'

/** Whether an object is as it was applied last, and that is what is planned: then nothing need be sent. */
export function isAsApplied({ planned, last }: Tracked, watches: Pick<Watches, 'get'>): boolean {
  if (last === undefined) return false
  const observed = watches.get(refOf(planned.object))
  if (observed === 'unknown' || observed === undefined) return false
  if (observed.added || observed.ownership !== last.ownership) return false
  if (last.values !== undefined && observed.values !== last.values) return false
  if (last.uid !== undefined && last.uid !== observed.uid) return false
  return last.object === planned.object || JSON.stringify(last.object) === JSON.stringify(planned.object)
}

type Load = (services: ReleaseServices, context: ReleaseContext, wanted: WantedBundle, runs: boolean) => Promise<LoadedBundle>

/**
 * What was applied last in an object's place, by its key. After a restart nobody remembers the version before: it is read again, which
 * is rare enough, as it matters only where another manager's field is in the way of a new version.
 */
export function lastObjects(
  services: ReleaseServices,
  context: ReleaseContext,
  digest: string,
  load: Load,
): (key: string) => Promise<KubeObject | undefined> {
  const { runtime } = context
  const tracked = new Map([...runtime.tracked].map(([key, { last }]) => [key, last?.object]))
  let before: Promise<ReadonlyMap<string, KubeObject>> | undefined
  return async (key) => {
    const known = tracked.get(key)
    if (known !== undefined) return known
    if (runtime.remembered === undefined || runtime.remembered.digest === digest) return undefined
    before ??= objectsOf(services, context, runtime.remembered, load)
    return (await before).get(key)
  }
}

async function objectsOf(
  services: ReleaseServices,
  context: ReleaseContext,
  { digest, version }: { readonly digest: string; readonly version: string },
  load: Load,
): Promise<ReadonlyMap<string, KubeObject>> {
  const { runtime, entry, signal } = context
  try {
    const { objects, namespace } = await load(services, context, { repository: entry.bundle.repository, digest, version }, true)
    const options = { release: runtime.name, namespace: namespace ?? entry.namespace, inventory: runtime.inventory, signal }
    const plan = await planRelease(services.client, objects, { ...options, seen: (ref) => services.watches.sighting(ref) })
    return new Map(plan.objects.map(({ key, object }) => [key, object]))
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const fields = { release: runtime.name, digest, code: codeOf(error), reason: messageOf(error) }
    services.logger.warn(fields, 'the version before cannot be read: fields of others count as conflicts')
    return new Map()
  }
}
