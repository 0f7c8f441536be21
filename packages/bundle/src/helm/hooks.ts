import { BundleError } from '../errors.ts'
import type { KubeObjectLike } from '../object.ts'

/** What a hook of Helm becomes. */
export type Hook =
  | { readonly kind: 'kept'; readonly object: KubeObjectLike; readonly events: readonly string[]; readonly weight?: number }
  | { readonly kind: 'left out'; readonly why: string }

const helmHook = 'helm.sh/hook'
/** On an object of a bundle: when Helm would run it, and what it says beside that. */
export const hookAnnotations = {
  events: 'muster.dev/hook',
  weight: 'muster.dev/hook-weight',
  deletion: 'muster.dev/hook-delete-policy',
} as const

/** What a release that is brought to a state, and kept there, goes through. */
const kept: ReadonlySet<string> = new Set(['pre-install', 'post-install', 'pre-upgrade', 'post-upgrade'])
const tests: ReadonlySet<string> = new Set(['test', 'test-success', 'test-failure'])
const away: ReadonlySet<string> = new Set(['pre-delete', 'post-delete', 'pre-rollback', 'post-rollback'])

/**
 * Hooks of installing and upgrading stay, their annotations completed by our own; tests, and what would run when a release goes or is
 * rolled back, are left out: as ordinary objects they would run at once.
 * @returns undefined for an object that is no hook
 * @throws BundleError `ManifestInvalid` for an event that Helm does not know
 */
export function mapHook(object: KubeObjectLike, where: string): Hook | undefined {
  const annotations = object.metadata.annotations ?? {}
  const text = annotations[helmHook]
  if (text === undefined) return undefined
  const events = text
    .split(',')
    .map((event) => event.trim())
    .filter((event) => event !== '')
  // Of Helm 2: a definition, which is applied first anyway.
  if (events.length === 1 && events[0] === 'crd-install') return undefined
  const unknown = events.find((event) => !kept.has(event) && !tests.has(event) && !away.has(event))
  if (unknown !== undefined || events.length === 0) {
    throw new BundleError('ManifestInvalid', `${where} has the annotation ${helmHook}: "${text.slice(0, 100)}", which is no hook of Helm.`)
  }
  const staying = events.filter((event) => kept.has(event)).sort()
  if (staying.length === 0) {
    return {
      kind: 'left out',
      why: events.every((event) => tests.has(event)) ? 'a test hook' : `a hook that runs at ${events.sort().join(', ')}`,
    }
  }
  const weight = weightOf(annotations[`${helmHook}-weight`], where)
  const deletion = annotations[`${helmHook}-delete-policy`]
  const added = {
    [hookAnnotations.events]: staying.join(','),
    ...(weight === undefined ? {} : { [hookAnnotations.weight]: String(weight) }),
    ...(deletion === undefined ? {} : { [hookAnnotations.deletion]: deletion }),
  }
  return {
    kind: 'kept',
    object: { ...object, metadata: { ...object.metadata, annotations: { ...annotations, ...added } } },
    events: staying,
    ...(weight === undefined ? {} : { weight }),
  }
}

function weightOf(text: string | undefined, where: string): number | undefined {
  if (text === undefined) return undefined
  const weight = Number(text)
  if (Number.isSafeInteger(weight)) return weight
  throw new BundleError('ManifestInvalid', `${where} has a ${helmHook}-weight that is no whole number: "${text.slice(0, 100)}".`)
}
