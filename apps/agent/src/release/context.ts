import type { ReleaseReason } from '@muster/api'
import type { KubeClient } from '@muster/kube'
import type { ContentSource } from '@muster/oci'
import type { Applied } from '@muster/reconcile'
import type { ChannelContent, ChannelRelease } from '@muster/trust'
import type { Clock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import type { RemoteReleases } from '../remote-releases.ts'
import type { SiteLayer, SiteOverlays } from '../site-overlays.ts'
import type { Tenancy } from '../tenancy.ts'
import type { TrustRules } from '../trust-rules.ts'
import type { Watches } from '../watches.ts'
import type { Handover } from './handover.ts'
import type { Loads } from './loads.ts'
import type { LiveRelease, ReleaseObjects } from './release-object.ts'
import type { Releases } from './releases.ts'
import type { Outcome, ReleaseRuntime } from './runtime.ts'

/** What all steps work with. */
export interface ReleaseServices {
  readonly client: KubeClient
  /** Name of this cluster. */
  readonly cluster: string
  readonly objects: ReleaseObjects
  readonly releases: Releases
  /** Those of other clusters, as the hub tells. */
  readonly remote: RemoteReleases
  readonly watches: Watches
  readonly clock: Clock
  readonly logger: Logger
  /** Where bundles are, the local cache first. */
  readonly source: (repository: string) => ContentSource
  /** Those on their way. */
  readonly loads: Loads
  /** Unseals a value that is sealed to this cluster, for a parameter of a release. */
  readonly unseal: (sealed: string, release: string, parameter: string, signal: AbortSignal) => Promise<string>
  readonly siteOverlays: SiteOverlays
  /** By what they are verified. */
  readonly trust: TrustRules
  /** As whom releases act. */
  readonly tenancy: Tenancy
  /** Watches exactly the kinds of which some release holds objects. */
  readonly rewatch: () => void
  /** Something changed that the write guard may have to follow. */
  readonly guard: () => void
  /** Tells what an apply of an object found that had been applied before. */
  readonly found: (runtime: ReleaseRuntime, key: string, applied: Applied) => void
  /** Tells of what became of a release: an event on its object. */
  readonly tell: (runtime: ReleaseRuntime, reason: ReleaseReason, message: string) => void
  /** Who keeps what moves between releases, under a channel. */
  readonly handover: (content: ChannelContent) => Handover
  /** Has a release looked at again. */
  readonly wake: (name: string) => void
  /** Asks for a closer look at an object that may differ from what is signed. */
  readonly suspect: (key: string) => void
}

/** One pass over one release that the channel wants. */
export interface ReleaseContext {
  readonly runtime: ReleaseRuntime
  /** What is to be, with what the site makes different among its settings: other overlays are another target. */
  readonly entry: ChannelRelease
  /** What is asked for, by the channel or the site's hold: another than `entry` where the last good version is wanted in its place. */
  readonly wanted: ChannelRelease
  /** What is asked for has failed, and the last good version is wanted in its place: nothing new, and no hooks. */
  readonly rolledBack: boolean
  /** Overlays of the site itself; nothing before they were read. */
  readonly site: readonly SiteLayer[] | undefined
  readonly content: ChannelContent
  /** When the channel expired, where it has: what runs is kept, and nothing new is taken. ISO 8601. */
  readonly expiredAt: string | undefined
  readonly signal: AbortSignal
  /** The Release object, where there is one yet. */
  readonly live: LiveRelease | undefined
}

/** One part of the way: it lets the next one go on, or says how the release stands. */
export type Step = (services: ReleaseServices, context: ReleaseContext) => Promise<Outcome | undefined>
