import { type InventoryEntry, maxNeedsConsent, type Release, type ReleaseSite } from '@muster/api'
import { groupKind } from '@muster/reconcile'

type PruneSettings = Release['spec']['prune']

/** Largest share of a release's objects that one version takes away without consent, where the placement says nothing. */
const defaultMaxShare = 0.5
/** So few objects are no large share, where the placement says nothing. */
const few = 10

/** Whether somebody has consented to the loss of a protected object: the placement by its kind, or the site by its uid. */
export function consentedTo(entry: InventoryEntry, prune: PruneSettings, site: ReleaseSite | undefined): boolean {
  if (prune?.consent?.includes(groupKind(entry)) === true) return true
  return entry.uid !== undefined && site?.consent?.uids?.includes(entry.uid) === true
}

/** Why a version may not take away so much of a release without consent; undefined where it may. Pure. */
export function largeShare(
  { going, all, digest }: { readonly going: number; readonly all: number; readonly digest: string },
  prune: PruneSettings,
  site: ReleaseSite | undefined,
): string | undefined {
  if (site?.consent?.digest === digest) return undefined
  const limit = prune?.maxShare ?? defaultMaxShare
  if (going <= all * limit || (prune?.maxShare === undefined && going <= few)) return undefined
  return `This version takes away ${going} of its ${all} objects, more than ${Math.round(limit * 100)} %: they stay until somebody consents (muster release consent).`
}

/** What waits for consent, as the Release says it. */
export function needing(entries: readonly InventoryEntry[], digest?: string): NonNullable<NonNullable<Release['status']>['needsConsent']> {
  const objects = entries.slice(0, maxNeedsConsent).map(({ apiVersion, kind, namespace, name, uid }) => ({
    apiVersion,
    kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
  }))
  return { count: entries.length, objects, ...(digest === undefined ? {} : { digest }) }
}
