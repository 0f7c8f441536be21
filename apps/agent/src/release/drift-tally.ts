import type { LeftToOthers, Release } from '@muster/api'
import { type Drift, managersOf, nameOf, pathsOf } from '@muster/reconcile'
import type { Fight } from '../corrections.ts'

type Status = NonNullable<NonNullable<Release['status']>['drift']>
/** What a release's drift amounts to so far: what of it is remembered over a restart. */
export type DriftTally = Pick<Status, 'corrected' | 'detected' | 'lastAt' | 'lastObject' | 'lastManager' | 'authors'>
/** A difference that is there now, as it is told. */
export type Difference = NonNullable<Status['present']>[number]

/** What of a status is remembered. */
export function tallyOf({
  mode: _mode,
  left: _left,
  present: _present,
  fights: _fights,
  tolerated: _tolerated,
  ...tally
}: Status): DriftTally {
  return tally
}

const maxAuthors = 10
const maxListed = 10
const maxPaths = 8

/** The tally after a correction. */
export function correctedIn(tally: DriftTally, drift: Drift, now: Date): DriftTally {
  return { ...seenIn(tally, drift, now), corrected: tally.corrected + 1 }
}

/** The tally after a difference that is left as it is. */
export function detectedIn(tally: DriftTally, drift: Drift, now: Date): DriftTally {
  return { ...seenIn(tally, drift, now), detected: (tally.detected ?? 0) + 1 }
}

function seenIn(tally: DriftTally, drift: Drift, now: Date): DriftTally {
  const { lastManager: _, ...rest } = tally
  const managers = managersOf(drift)
  const [first] = managers
  const counts = new Map((tally.authors ?? []).map(({ manager, count }) => [manager, count]))
  for (const manager of managers) counts.set(manager, (counts.get(manager) ?? 0) + 1)
  const authors = [...counts].map(([manager, count]) => ({ manager, count })).sort((a, b) => b.count - a.count)
  return {
    ...rest,
    lastAt: now.toISOString(),
    lastObject: nameOf(drift.ref),
    ...(first === undefined ? {} : { lastManager: first }),
    // The last one is always among them, however rare it is.
    ...(authors.length === 0 ? {} : { authors: topAuthors(authors, first) }),
  }
}

function topAuthors(
  authors: readonly { manager: string; count: number }[],
  last: string | undefined,
): { manager: string; count: number }[] {
  const top = authors.slice(0, maxAuthors)
  const missing = authors.slice(maxAuthors).find(({ manager }) => manager === last)
  return missing === undefined ? top : [...top.slice(0, maxAuthors - 1), missing]
}

/** A drift as it is told in status. */
export function asTold(drift: Drift): Difference {
  const [manager] = managersOf(drift)
  return { object: nameOf(drift.ref), paths: pathsOf(drift).slice(0, maxPaths), ...(manager === undefined ? {} : { manager }) }
}

/** What of it all is shown: bounded, in order of objects, so that the same is written the same. */
export function shownDrift(
  tally: DriftTally,
  now: {
    readonly mode: Status['mode']
    readonly left: readonly LeftToOthers[]
    readonly drifting: ReadonlyMap<string, Difference>
    readonly fights: ReadonlyMap<string, readonly Fight[]>
    readonly yielded: ReadonlyMap<string, readonly string[]>
  },
): Status {
  const present = byKey(now.drifting).map(([, difference]) => difference)
  const fights = byKey(now.fights).flatMap(([key, all]) =>
    all.map(({ manager, paths, times, sinceMs }) => ({
      object: key,
      paths: paths.slice(0, maxPaths),
      times,
      since: new Date(sinceMs).toISOString(),
      ...(manager === undefined ? {} : { manager }),
    })),
  )
  const tolerated = byKey(now.yielded).map(([key, paths]) => ({ object: key, paths: paths.slice(0, maxPaths) }))
  return {
    ...tally,
    ...(now.mode === undefined ? {} : { mode: now.mode }),
    ...(now.left.length === 0 ? {} : { left: [...now.left] }),
    ...(present.length === 0 ? {} : { present: present.slice(0, maxListed) }),
    ...(fights.length === 0 ? {} : { fights: fights.slice(0, maxListed) }),
    ...(tolerated.length === 0 ? {} : { tolerated: tolerated.slice(0, maxListed) }),
  }
}

function byKey<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1))
}
