import { type DriftMode, type LeftToOthers, maxLeftToOthers, type ReleaseSettings } from '@muster/api'
import { parsePath, type Tolerance } from '@muster/reconcile'

/** What is done about drift of a release. */
export interface DriftPolicy {
  readonly mode: DriftMode
  readonly tolerances: readonly Tolerance[]
  /** The first of them, as they are told. */
  readonly left: readonly LeftToOthers[]
}

/** Of what is told of one of them, in characters. */
const maxWhat = 512

/** Where a placement says nothing: what was signed can be trusted only where nothing else gets in between. */
export const defaultMode: DriftMode = 'prevent'

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
  return { mode: drift?.mode ?? defaultMode, tolerances: [...ignored, ...controlled], left: leftToOthers(drift) }
}

function leftToOthers(drift: ReleaseSettings['drift']): LeftToOthers[] {
  const named = (of: Pick<Tolerance, 'kind' | 'namespace' | 'name'>, what: string) =>
    [of.kind ?? 'all objects', [of.namespace, of.name].filter((part) => part !== undefined).join('/'), what]
      .filter((part) => part !== '')
      .join(' ')
      .slice(0, maxWhat)
  const ignored = (drift?.ignore ?? []).map(
    ({ path, owner, until, ...of }): LeftToOthers => ({ what: named(of, path), owner, ...(until === undefined ? {} : { until }) }),
  )
  const controlled = (drift?.controllers ?? []).map(
    ({ paths, user, ...of }): LeftToOthers => ({ what: named(of, paths.join(', ')), owner: user }),
  )
  return [...ignored, ...controlled].slice(0, maxLeftToOthers)
}

/** When the next of the tolerances ends, in milliseconds since 1970; nothing where none does. */
export function nextEnd({ tolerances }: DriftPolicy, nowMs: number): number | undefined {
  const ends = tolerances.flatMap(({ untilMs }) => (untilMs !== undefined && untilMs > nowMs ? [untilMs] : []))
  return ends.length === 0 ? undefined : Math.min(...ends)
}
