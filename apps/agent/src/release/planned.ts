import type { InventoryEntry, Release } from '@muster/api'

type Planned = NonNullable<Release['spec']['planned']>

/** An inventory in the short form of `spec.planned`, without what is known only of objects that are there. */
export function plannedOf(inventory: readonly InventoryEntry[]): Planned {
  const groups = new Map<string, Planned[number]>()
  for (const { apiVersion, kind, namespace, name, wave } of inventory) {
    const key = `${apiVersion} ${kind} ${namespace ?? ''} ${wave ?? 0}`
    const where = { ...(namespace === undefined ? {} : { namespace }), ...(wave === undefined ? {} : { wave }) }
    const group = groups.get(key) ?? { apiVersion, kind, ...where, names: [] }
    group.names.push(name)
    groups.set(key, group)
  }
  return [...groups.values()]
}

export function expandPlanned(planned: Planned): InventoryEntry[] {
  return planned.flatMap(({ names, ...where }) => names.map((name) => ({ ...where, name })))
}
