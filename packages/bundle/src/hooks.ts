import { BundleError } from './errors.ts'
import type { BundleHook } from './format.ts'
import type { ManifestObject } from './manifests.ts'
import { describeObject } from './object.ts'

/** On an object of a bundle: when it runs, and what it says beside that. The agent reads them (docs/ordering.md). */
export const hookAnnotations = {
  events: 'muster.dev/hook',
  weight: 'muster.dev/hook-weight',
  deletion: 'muster.dev/hook-delete-policy',
} as const

const hookEvents: ReadonlySet<string> = new Set(['before-install', 'after-install', 'before-upgrade', 'after-upgrade', 'on-failure'])
export const deletePolicies: ReadonlySet<string> = new Set(['before-hook-creation', 'hook-succeeded', 'hook-failed'])

/**
 * The hooks among a component's objects, in their order.
 * @throws BundleError `ManifestInvalid` for an event that there is not, a weight that is no whole number, or another delete policy
 */
export function hooksAmong(component: string, objects: readonly ManifestObject[]): BundleHook[] {
  return objects.flatMap(({ object, where }): BundleHook[] => {
    const annotations = object.metadata.annotations ?? {}
    const said = annotations[hookAnnotations.events]
    if (said === undefined) return []
    const events = said.split(',').map((event) => event.trim())
    const unknown = events.find((event) => !hookEvents.has(event))
    if (unknown !== undefined) {
      const known = [...hookEvents].join(', ')
      throw new BundleError(
        'ManifestInvalid',
        `${where} has "${unknown.slice(0, 100)}" in its annotation ${hookAnnotations.events}. It takes ${known}.`,
      )
    }
    const weight = annotations[hookAnnotations.weight]
    if (weight !== undefined && !/^[+-]?\d{1,7}$/.test(weight))
      throw new BundleError(
        'ManifestInvalid',
        `${where} has no whole number in its annotation ${hookAnnotations.weight}: "${weight.slice(0, 100)}".`,
      )
    const odd = annotations[hookAnnotations.deletion]?.split(',').find((policy) => !deletePolicies.has(policy.trim()))
    if (odd !== undefined)
      throw new BundleError(
        'ManifestInvalid',
        `${where} has "${odd.slice(0, 100)}" in its annotation ${hookAnnotations.deletion}. It takes ${[...deletePolicies].join(', ')}.`,
      )
    return [
      { component, object: describeObject(object), events: events.sort(), ...(weight === undefined ? {} : { weight: Number(weight) }) },
    ]
  })
}
