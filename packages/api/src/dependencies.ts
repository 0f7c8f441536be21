import type { Cluster } from './cluster.ts'
import type { Placement } from './placement.ts'
import { type Selectable, selects } from './select.ts'

/** A release in a cluster. */
export interface ReleaseAt {
  readonly cluster: string
  readonly release: string
}

/**
 * A way from `start` that leads back to where it was, as the names along it, the first one again at its end. Undefined where there is none.
 * What is nested without end costs memory and no stack.
 */
export function dependencyCycle(start: string, dependenciesOf: (name: string) => readonly string[]): string[] | undefined {
  const done = new Set<string>()
  const path: { readonly name: string; readonly left: string[] }[] = []
  const on = new Set<string>()
  const enter = (name: string): void => {
    on.add(name)
    path.push({ name, left: [...dependenciesOf(name)].reverse() })
  }
  enter(start)
  for (let last = path.at(-1); last !== undefined; last = path.at(-1)) {
    const next = last.left.pop()
    if (next === undefined) {
      path.pop()
      on.delete(last.name)
      done.add(last.name)
    } else if (on.has(next)) {
      const names = path.map(({ name }) => name)
      return [...names.slice(names.indexOf(next)), next]
    } else if (!done.has(next)) enter(next)
  }
  return undefined
}

/** What of the fleet dependencies look at. */
export interface DependencyFleet {
  readonly placement: (name: string) => Pick<Placement, 'metadata' | 'spec'> | undefined
  readonly cluster: (name: string) => Selectable | undefined
}

/** What a release in a cluster depends on, by its placement: nothing where nothing places it there. */
export function dependenciesOf({ cluster, release }: ReleaseAt, fleet: DependencyFleet): ReleaseAt[] {
  const placement = fleet.placement(release)
  const where = fleet.cluster(cluster)
  if (placement === undefined || where === undefined || !selects(placement, where)) return []
  return (placement.spec.dependsOn ?? []).map((one) => ({ cluster: one.cluster ?? cluster, release: one.release }))
}

/**
 * A circle of releases, in one cluster or across several, for which a release would wait for ever: `alpha/db → bravo/web → alpha/db`.
 * Undefined where there is none.
 */
export function cycleFrom(start: ReleaseAt, fleet: DependencyFleet): string | undefined {
  const text = ({ cluster, release }: ReleaseAt): string => `${cluster}/${release}`
  const cycle = dependencyCycle(text(start), (name) => {
    const slash = name.indexOf('/')
    return dependenciesOf({ cluster: name.slice(0, slash), release: name.slice(slash + 1) }, fleet).map(text)
  })
  return cycle?.join(' → ')
}

/** The first such circle in which a placement takes part or for which it waits, in any of the clusters that it goes to. */
export function cycleOf(
  placement: Pick<Placement, 'metadata' | 'spec'>,
  clusters: readonly (Selectable & Pick<Cluster, 'metadata'>)[],
  fleet: DependencyFleet,
): string | undefined {
  if ((placement.spec.dependsOn ?? []).length === 0) return undefined
  for (const cluster of clusters) {
    if (!selects(placement, cluster)) continue
    const cycle = cycleFrom({ cluster: cluster.metadata.name, release: placement.metadata.name }, fleet)
    if (cycle !== undefined) return cycle
  }
  return undefined
}
