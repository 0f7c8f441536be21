import { BundleError } from '../errors.ts'
import { deletePolicies, hookAnnotations } from '../hooks.ts'
import type { KubeObjectLike } from '../object.ts'

/** What a hook of Helm becomes. */
export type Hook = { readonly kind: 'kept'; readonly object: KubeObjectLike } | { readonly kind: 'left out'; readonly why: string }

const helmHook = 'helm.sh/hook'
/** What a release that is brought to a state, and kept there, goes through. */
const kept: ReadonlyMap<string, string> = new Map([
  ['pre-install', 'before-install'],
  ['post-install', 'after-install'],
  ['pre-upgrade', 'before-upgrade'],
  ['post-upgrade', 'after-upgrade'],
])
const tests: ReadonlySet<string> = new Set(['test', 'test-success', 'test-failure'])
const away: ReadonlySet<string> = new Set(['pre-delete', 'post-delete', 'pre-rollback', 'post-rollback'])

/**
 * Hooks of installing and upgrading stay, with annotations of our own (`pre-install` is our `before-install`); tests, and what would run when a release goes or is
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
  const staying = events.flatMap((event) => kept.get(event) ?? []).sort()
  if (staying.length === 0) {
    return {
      kind: 'left out',
      why: events.every((event) => tests.has(event)) ? 'a test hook' : `a hook that runs at ${events.sort().join(', ')}`,
    }
  }
  const weight = weightOf(annotations[`${helmHook}-weight`], where)
  const deletion = deletionOf(annotations[`${helmHook}-delete-policy`], where)
  const added = {
    [hookAnnotations.events]: staying.join(','),
    ...(weight === undefined ? {} : { [hookAnnotations.weight]: String(weight) }),
    ...(deletion === undefined ? {} : { [hookAnnotations.deletion]: deletion }),
  }
  return { kind: 'kept', object: { ...object, metadata: { ...object.metadata, annotations: { ...annotations, ...added } } } }
}

function deletionOf(text: string | undefined, where: string): string | undefined {
  const policies = text?.split(',').map((policy) => policy.trim())
  if (policies === undefined || policies.every((policy) => deletePolicies.has(policy))) return policies?.join(',')
  throw new BundleError('ManifestInvalid', `${where} has a ${helmHook}-delete-policy that is none of Helm: "${text?.slice(0, 100)}".`)
}

function weightOf(text: string | undefined, where: string): number | undefined {
  if (text === undefined) return undefined
  const weight = Number(text)
  if (Number.isSafeInteger(weight)) return weight
  throw new BundleError('ManifestInvalid', `${where} has a ${helmHook}-weight that is no whole number: "${text.slice(0, 100)}".`)
}
