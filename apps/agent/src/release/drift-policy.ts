import type { DriftMode, ReleaseSettings } from '@muster/api'
import { parsePath, type Tolerance } from '@muster/reconcile'

/** What is done about drift of a release. */
export interface DriftPolicy {
  readonly mode: DriftMode
  readonly tolerances: readonly Tolerance[]
}

/** Where a placement says nothing. */
export const defaultMode: DriftMode = 'correct'

/** What a release's settings say of drift. Their paths were checked when the channel was read. */
export function driftPolicyOf({ drift }: Pick<ReleaseSettings, 'drift'> = {}): DriftPolicy {
  const ignored = (drift?.ignore ?? []).map(
    ({ kind, namespace, name, path, owner, until }): Tolerance => ({
      kind,
      namespace,
      name,
      path: parsePath(path),
      owner,
      untilMs: until === undefined ? undefined : Date.parse(until),
    }),
  )
  const controlled = (drift?.controllers ?? []).flatMap(({ kind, namespace, name, paths, user }) =>
    paths.map((path): Tolerance => ({ kind, namespace, name, path: parsePath(path), owner: user })),
  )
  return { mode: drift?.mode ?? defaultMode, tolerances: [...ignored, ...controlled] }
}

/** When the next of the tolerances ends, in milliseconds since 1970; nothing where none does. */
export function nextEnd({ tolerances }: DriftPolicy, nowMs: number): number | undefined {
  const ends = tolerances.flatMap(({ untilMs }) => (untilMs !== undefined && untilMs > nowMs ? [untilMs] : []))
  return ends.length === 0 ? undefined : Math.min(...ends)
}
