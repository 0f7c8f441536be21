import type { KubeObject } from '@muster/kube'
import { guardLabel, type Plan, planRelease } from '@muster/reconcile'
import { TrustError } from '@muster/trust'
import { type LoadedBundle, loadBundle, refusalOf, type WantedBundle } from '../bundle-loader.ts'
import type { ReleaseContext, ReleaseServices } from './context.ts'
import { customized } from './customize.ts'

/** @param runs it was applied before: its age is no ground to refuse it, since what an accepted channel brought stays */
export async function verified(
  services: ReleaseServices,
  context: ReleaseContext,
  wanted: WantedBundle,
  runs: boolean,
): Promise<LoadedBundle> {
  const { trust, source, clock, loads } = services
  const { content, runtime, signal } = context
  try {
    const effective = await trust.policy(content)
    const policy = effective && { effective, now: clock.now(), refuseOld: !runs, source }
    const { repository, version, digest } = wanted
    const key = JSON.stringify([repository, version, digest, runs, trust.key(content)])
    const bundle = await loads.load(
      { release: runtime.name, version, key },
      (stop) => loadBundle(source(repository), wanted, { publishers: content.publishers, policy }, stop),
      signal,
    )
    return await customized(services, context, bundle, runs)
  } catch (error) {
    throw error instanceof TrustError ? refusalOf(error) : error
  }
}

/** Whether this very bundle was applied whole before: to apply it again, such as after a restart, is nothing new. */
export function ranBefore({ runtime, entry, rolledBack }: Pick<ReleaseContext, 'runtime' | 'entry' | 'rolledBack'>): boolean {
  if (rolledBack) return true
  const { applied, remembered, held, history } = runtime
  // The site goes back to what it had: nothing new comes from a channel.
  if (held?.digest === entry.bundle.digest && history.some(({ digest }) => digest === held.digest)) return true
  if (applied !== undefined) return applied.digest === entry.bundle.digest && applied.namespace === entry.namespace
  return remembered?.digest === entry.bundle.digest
}

export async function planOf(
  { client, cluster, watches }: ReleaseServices,
  { runtime, entry, signal }: ReleaseContext,
  bundle: LoadedBundle,
): Promise<Plan> {
  const plan = await planRelease(client, bundle.objects, {
    release: runtime.name,
    namespace: bundle.namespace ?? entry.namespace,
    inventory: runtime.inventory,
    ...(runtime.driftPolicy.mode === 'prevent' ? { labels: { [guardLabel]: cluster } } : {}),
    seen: (ref) => watches.sighting(ref),
    signal,
  })
  return { ...plan, objects: plan.objects.map((planned) => ({ ...planned, object: ownText(planned.object) })) }
}

/** The same, with strings that are no parts of the text that they were read from: what is kept of an object would keep all of that. */
function ownText(object: KubeObject): KubeObject {
  return JSON.parse(JSON.stringify(object)) as KubeObject
}
