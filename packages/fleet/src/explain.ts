import type { ReleaseReason } from '@muster/api'
import { adviceOf, type Circumstances, type Suggestion, unknownReason } from './explain-reasons.ts'
import { driftOf, driftSentences } from './release-drift.ts'
import { type ReleaseView, runningOf, standingOf } from './release-view.ts'

/** A release told as a colleague would: each part one or more sentences. */
export interface Explanation {
  readonly name: string
  readonly cluster: string
  readonly ready: boolean
  readonly reason: string
  /** What it is, and what of it runs. */
  readonly is: string
  readonly wanted: string
  /** What it waits for, where it waits. */
  readonly waits?: string
  readonly since?: string
  readonly next: string
  readonly can: readonly Suggestion[]
}

/** Explains a release from what is known of it. Pure. */
export function explainRelease(view: ReleaseView, now: Date): Explanation {
  const { name, cluster, placement, release } = view
  const running = runningOf(view)
  const wanted = placement?.spec.bundle ?? release?.spec.bundle
  const standing = standingOf(view)
  const about: Circumstances = {
    name,
    cluster,
    namespace: placement?.spec.namespace ?? release?.spec.namespace ?? name,
    repository: wanted?.repository ?? `bundles/${name}`,
    wanted: wanted?.version,
    running: running?.version,
  }
  if (standing === undefined) return notSeen(view, about)
  const glass = brokenGlass(view)
  const hold = holdOf(view)
  const advice = isKnown(standing.reason) ? adviceOf[standing.reason] : unknownReason
  const waits = [advice.waits, standing.message, waitedSince(view, now)].filter((text) => text !== undefined && text !== '').join(' ')
  const since = standing.since === undefined ? undefined : sinceText(standing.ready, standing.since, now)
  return {
    name,
    cluster,
    ready: standing.ready,
    reason: standing.reason,
    is: whatItIs(view),
    wanted: whatIsWanted(view),
    ...(waits === '' || (standing.ready && advice.waits === undefined) ? {} : { waits }),
    ...(since === undefined ? {} : { since }),
    next: [glass, hold && 'It stays there, whatever the hub places, until it is resumed.', hold && standing.ready ? undefined : advice.next]
      .filter((text) => text !== undefined)
      .join(' '),
    can: [...(glass === undefined ? [] : [endGlass(about)]), ...(hold === undefined ? [] : [resume(about)]), ...advice.can(about)],
  }
}

/** What it waits for before it goes on, and since when. */
function waitedSince({ release, report }: ReleaseView, now: Date): string | undefined {
  const waiting = release === undefined ? report?.waitingFor : release.status?.waitingFor
  if (waiting === undefined) return undefined
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(waiting.since)) / 1000))
  return `It has waited for ${waiting.names.join(', ')} for ${ageText(seconds)} (since ${timeText(waiting.since)}).`
}

/** Which version was taken back, for which, when and why, and what has it tried again. */
function wentBack({ release, report }: ReleaseView): string {
  const own = release?.status?.rollback
  const back = release === undefined ? report?.rollback && { ...report.rollback, from: report.rollback } : own
  if (back === undefined) return ''
  const { from, to, at, reason, message } = back
  const why = message.endsWith('.') ? message : `${message}.`
  return ` At ${timeText(at)} it went back from version ${from.version} (${shortDigest(from.digest)}) to ${to.version} (${shortDigest(to.digest)}), as that was not healthy in time (${reason}): ${why} That version is tried again once something else was, or with other settings.`
}

/** Where the site holds it, and why. */
function holdOf({ release, report }: ReleaseView): string | undefined {
  const { bundle, site } = release?.spec ?? {}
  if (release === undefined && report?.held !== undefined) return `The site holds it at ${report.held.version}: ${report.held.reason}.`
  if (bundle === undefined || site?.hold === undefined) return undefined
  const { digest, reason, since } = site.hold
  const version = digest === bundle.digest ? `version ${bundle.version} (${shortDigest(digest)})` : shortDigest(digest)
  return `The site holds it at ${version}${since === undefined ? '' : ` since ${timeText(since)}`}: ${reason}.`
}

function resume({ name, cluster }: Circumstances): Suggestion {
  return [`muster release resume ${name} --cluster ${cluster}`, 'follow the channel again']
}

/** What the site makes different, and why. */
function siteOverlays({ release, report }: ReleaseView): string {
  const inForce = release === undefined ? report?.customizations : release.status?.customizations
  return (inForce ?? [])
    .filter(({ level }) => level === 'site')
    .map(({ name, reason, until }) => {
      const end = until === undefined ? '' : ` until ${timeText(until)}`
      return ` The site's own overlay ${name} is in force${end}: ${reason ?? ''}.`
    })
    .join('')
}

/** Where somebody broke glass for it. */
function brokenGlass({ release, report }: ReleaseView): string | undefined {
  const record = release?.status?.breakGlass
  const open = release === undefined ? report?.breakGlass : record?.endedAt === undefined ? record : undefined
  if (open === undefined) return undefined
  return `Until ${timeText(open.until)} others may write what it holds, as ${open.by} broke glass for it (${open.reason}); then that is put back.`
}

function endGlass({ name, cluster }: Circumstances): Suggestion {
  return [`muster break-glass ${name} --cluster ${cluster} --end`, 'put it back now']
}

function isKnown(reason: string): reason is ReleaseReason {
  return Object.hasOwn(adviceOf, reason)
}

function notSeen(view: ReleaseView, about: Circumstances): Explanation {
  return {
    name: view.name,
    cluster: view.cluster,
    ready: false,
    reason: 'NotReported',
    is: 'Nothing is known of it in the cluster yet.',
    wanted: whatIsWanted(view),
    waits: `The agent of ${view.cluster} has not said anything of it.`,
    next: 'The hub puts it into the channel of the cluster; its agent reads that every few seconds, and then reports.',
    can: [
      ['muster status', 'whether the cluster reports, and which channel it holds'],
      [`muster kubectl ${about.cluster} -- logs -n muster-system deploy/muster-agent`, 'what the agent does'],
    ],
  }
}

function whatItIs(view: ReleaseView): string {
  const { release, reportAgeSeconds, silent, cluster } = view
  const running = runningOf(view)
  const source =
    release === undefined
      ? ` This is from the report of ${ageText(reportAgeSeconds ?? 0)} ago${silent ? `; ${cluster} is silent since` : ''}.`
      : ''
  if (running === undefined) return `Nothing of it was applied whole yet.${source}`
  const signers = running.signedBy.length === 0 ? '' : `, signed by ${running.signedBy.join(' and ')}`
  const { inventory, drift } = release?.status ?? {}
  const about = driftOf(view)
  const made = inventory === undefined ? '' : ` It has ${inventory.length} ${inventory.length === 1 ? 'object' : 'objects'}.`
  const { corrected } = about
  const last = drift?.lastAt === undefined ? '' : `, the last time at ${timeText(drift.lastAt)} (${drift.lastObject ?? 'an object'})`
  const put = corrected === 0 ? '' : ` Drift was put back ${corrected === 1 ? 'once' : `${corrected} times`}${last}.`
  const told = driftSentences(about)
    .map((sentence) => ` ${sentence}`)
    .join('')
  return `Version ${running.version} (${shortDigest(running.digest)}) runs${signers}.${made}${siteOverlays(view)}${put}${told}${wentBack(view)}${source}`
}

function whatIsWanted(view: ReleaseView): string {
  const { placement, release, cluster } = view
  const asked = release?.spec
  const held =
    asked &&
    `Version ${asked.bundle.version} (${shortDigest(asked.bundle.digest)}), by generation ${asked.channelGeneration} of the channel.`
  const hold = holdOf(view)
  if (hold !== undefined) {
    const hub = placement?.spec.bundle
    return hub === undefined ? hold : `Version ${hub.version} (${shortDigest(hub.digest)}) of ${hub.repository}, by the hub. ${hold}`
  }
  if (placement === undefined) return held ?? `The hub does not want it on ${cluster}: it goes.`
  const { version, digest, repository } = placement.spec.bundle
  const hub = `Version ${version} (${shortDigest(digest)}) of ${repository}`
  if (asked === undefined) return `${hub}, by the hub.`
  if (asked.bundle.digest === digest) return `${hub}, by generation ${asked.channelGeneration} of the channel.`
  return `${hub}, by the hub; the cluster has not taken that yet. ${held}`
}

/** `Not ready for 4 min (since 2026-01-01 12:03:10 UTC).` */
function sinceText(ready: boolean, since: string, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(since)) / 1000))
  return `${ready ? 'Ready' : 'Not ready'} for ${ageText(seconds)} (since ${timeText(since)}).`
}

export function ageText(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} days`
}

function timeText(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`
}

export function shortDigest(digest: string): string {
  return digest.slice(0, 'sha256:'.length + 12)
}
