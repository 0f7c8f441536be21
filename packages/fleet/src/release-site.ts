import { apiVersion, type Placement, type Release, type ReleaseSite } from '@muster/api'
import { isKubeError, type KubeClient, type KubeObject } from '@muster/kube'
import { FleetError } from './errors.ts'
import { until, type WaitOptions } from './install.ts'
import { installer } from './names.ts'
import { unknownRelease } from './unknown-release.ts'

/** Field manager of what is said at a site: everything else of a Release is the agent's. */
const siteManager = 'muster-site'

type LiveRelease = Release & KubeObject
/** What is said anew; null takes back what was said. */
export type SiteChange = { readonly [K in keyof ReleaseSite]?: ReleaseSite[K] | null }

/**
 * Says something of a release at its site, in the cluster itself.
 * @throws FleetError `UnknownRelease`
 */
export async function sayAtSite(member: KubeClient, name: string, change: SiteChange, signal: AbortSignal): Promise<Release> {
  try {
    const options = { type: 'merge', fieldManager: siteManager, fieldValidation: 'Strict', signal } as const
    return await member.patch<LiveRelease>({ apiVersion, kind: 'Release', name }, { spec: { site: change } }, options)
  } catch (cause) {
    if (!isKubeError(cause, 'NotFound')) throw cause
    throw await unknownRelease(member, name, signal)
  }
}

/** Waits until the agent has looked at what was said. @throws FleetError `NotReady` where it does not */
export async function obeyed(member: KubeClient, said: Release, wait: WaitOptions): Promise<Release> {
  const { name, generation = 0 } = said.metadata
  const { reconcileAt } = said.spec.site ?? {}
  let release: Release = said
  await until(
    wait,
    `the agent's answer on ${name}`,
    () => 'it has not looked at the release since; is it running?',
    async (signal) => {
      release = await member.get<LiveRelease>({ apiVersion, kind: 'Release', name }, { signal })
      const { observedGeneration = 0, reconciledAt } = release.status ?? {}
      return observedGeneration >= generation && (reconcileAt === undefined || reconciledAt === reconcileAt)
    },
  )
  return release
}

/** Suspends a release in every cluster of its placement, or resumes it. @throws FleetError `UnknownRelease` */
export async function suspendPlacement(hub: KubeClient, name: string, reason: string | undefined, signal: AbortSignal): Promise<Placement> {
  try {
    const suspend = reason === undefined ? null : { reason }
    return await hub.patch<Placement & KubeObject>(
      { apiVersion, kind: 'Placement', name },
      { spec: { suspend } },
      { type: 'merge', fieldManager: installer, fieldValidation: 'Strict', signal },
    )
  } catch (cause) {
    if (!isKubeError(cause, 'NotFound')) throw cause
    throw new FleetError('UnknownRelease', `The hub has no placement ${name}; "muster release list" shows what there is.`, { cause })
  }
}

/** A version to which one can go back. */
export interface PastVersion {
  readonly digest: string
  readonly version: string
  readonly repository: string
}

/**
 * Which of a history is meant: by version or digest (or the beginning of one), else the one before.
 * @param history the newest first @throws FleetError `UnknownVersion`, which names those that there are
 */
export function pastVersion<T extends PastVersion & { readonly outcome?: string }>(
  history: readonly T[],
  now: string | undefined,
  wanted: string | undefined,
): T {
  const others = history.filter(({ digest }) => digest !== now)
  const found =
    wanted === undefined
      ? (others.find(({ outcome }) => outcome === undefined || outcome === 'Healthy') ?? others[0])
      : history.find(
          ({ digest, version }) => version === wanted || digest === wanted || (wanted.length >= 12 && isBeginning(wanted, digest)),
        )
  if (found !== undefined) return found
  const there = history.map(({ digest, version }) => `${version} (${digest.slice(0, 19)})`).join(', ')
  const known = there === '' ? 'Nothing is remembered.' : `Remembered are: ${there}.`
  throw new FleetError(
    'UnknownVersion',
    `${wanted === undefined ? 'There is no version before this one' : `${wanted} never ran`}. ${known}`,
  )
}

function isBeginning(text: string, digest: string): boolean {
  return digest.startsWith(text) || digest.startsWith(`sha256:${text}`)
}
