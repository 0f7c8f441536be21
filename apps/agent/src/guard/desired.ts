import { type GuardExemption, type GuardOptions, parsePath, scaleKey } from '@muster/reconcile'
import type { ChannelContent } from '@muster/trust'
import { driftPolicyOf } from '../release/drift-policy.ts'
import type { ReleaseRuntime } from '../release/runtime.ts'

/** What the guard shall be like; nothing where no release asks for one. */
export function desiredGuard(
  content: Pick<ChannelContent, 'releases'>,
  runtimes: readonly Pick<ReleaseRuntime, 'name' | 'complete' | 'tracked' | 'isOpen' | 'breakGlass'>[],
  present: ReadonlyMap<string, string>,
  nowMs: number,
): Pick<GuardOptions, 'exemptions' | 'scales' | 'open'> | undefined {
  const guarded = content.releases.filter(({ settings }) => driftPolicyOf(settings).mode === 'prevent')
  if (guarded.length === 0) return undefined
  const names = new Set(guarded.map(({ name }) => name))
  const exemptions = guarded.flatMap(({ name: release, settings }): GuardExemption[] => [
    ...(settings?.drift?.ignore ?? [])
      .filter(({ until }) => until === undefined || nowMs < Date.parse(until))
      .map(({ kind, namespace, name, path }) => ({ release, kind, namespace, name, paths: [parsePath(path)] })),
    ...(settings?.drift?.controllers ?? []).map(({ kind, namespace, name, user, paths }) => ({
      release,
      kind,
      namespace,
      name,
      user,
      paths: paths.map(parsePath),
    })),
  ])
  const scales = new Map<string, string>()
  // After a restart it is known only bit by bit what a release holds: until then what is there stays.
  const known = new Set(runtimes.filter(({ complete }) => complete).map(({ name }) => name))
  for (const [key, release] of present) if (names.has(release) && !known.has(release)) scales.set(key, release)
  for (const runtime of runtimes) {
    if (!names.has(runtime.name)) continue
    for (const { planned } of runtime.tracked.values()) {
      const key =
        (planned.object['spec'] as { replicas?: unknown } | undefined)?.replicas === undefined ? undefined : scaleKey(planned.object)
      if (key !== undefined) scales.set(key, runtime.name)
    }
  }
  return {
    exemptions,
    scales: new Map([...scales].sort(([a], [b]) => (a < b ? -1 : 1))),
    open: new Map(
      runtimes.flatMap(({ name, isOpen, breakGlass }) =>
        isOpen && breakGlass !== undefined && names.has(name) ? [[name, breakGlass.until] as const] : [],
      ),
    ),
  }
}
