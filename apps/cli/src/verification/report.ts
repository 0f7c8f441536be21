import type { DemandVerdict, SubjectVerdict } from '@muster/trust'
import { table } from '../table.ts'
import type { ArtifactVerdict } from './verify-artifact.ts'

/** What was verified, by what, when, and what could not be: the whole answer, in JSON. */
export interface Report {
  readonly accepted: boolean
  readonly policies: readonly string[]
  /** ISO 8601: the time by which ages and certificates were judged. */
  readonly verifiedAt: string
  readonly covered: {
    readonly artifacts: number
    readonly refused: number
    /** Bundles and images that were looked at, and those of them that no rule covers: a verified bundle names their digest. */
    readonly subjects: number
    readonly byBundleOnly: number
    /** Signatures and attestations that were read, and what is there and could not be. */
    readonly read: number
    readonly unread: number
  }
  readonly artifacts: readonly ArtifactVerdict[]
}

export function reportOf(artifacts: readonly ArtifactVerdict[], policies: readonly string[], now: Date): Report {
  const subjects = artifacts.flatMap((artifact) => artifact.subjects)
  return {
    accepted: artifacts.every(({ accepted }) => accepted),
    policies,
    verifiedAt: now.toISOString(),
    covered: {
      artifacts: artifacts.length,
      refused: artifacts.filter(({ accepted }) => !accepted).length,
      subjects: subjects.length,
      byBundleOnly: subjects.filter(({ coveredBy }) => coveredBy === 'bundle').length,
      read: sum(subjects.map(({ read }) => read)),
      unread: sum(subjects.map(({ unread }) => unread.length)),
    },
    artifacts,
  }
}

/** For people: a line per rule, then why not, what could not be read, and what all of it amounts to. */
export function reportText(report: Report): string {
  const rows = report.artifacts.flatMap((artifact) =>
    artifact.subjects.length === 0 ? [[artifact.reference, '–', '–', '–', verdictOf(artifact)]] : artifact.subjects.flatMap(rowsOf),
  )
  const parts = [table(['ARTIFACT', 'RULE', 'NEEDS', 'FOUND', 'VERDICT'], rows)]
  const whyNot = report.artifacts.flatMap((artifact) =>
    artifact.subjects.length === 0
      ? [`${artifact.reference}: ${artifact.reason}: ${artifact.message}`]
      : artifact.subjects.flatMap((subject) => reasonsOf(subject).map((reason) => `${subject.name}: ${reason}`)),
  )
  if (!report.accepted) parts.push(section('Why not:', whyNot))
  const unread = report.artifacts.flatMap(({ subjects }) =>
    subjects.flatMap(({ name, unread: all }) => all.map(({ reason, message }) => `${name}: ${reason}: ${message}`)),
  )
  if (unread.length > 0) parts.push(section('Not read:', unread))
  return `${[...parts, closing(report)].join('\n\n')}\n`
}

function rowsOf(subject: SubjectVerdict): string[][] {
  const what = `${shown(subject.name)}@${subject.digest.slice(0, 19)}`
  if (subject.demands.length === 0) {
    const by = subject.coveredBy === 'bundle' ? 'its digest in the bundle' : '–'
    return [[what, 'none', '–', by, subject.accepted ? 'accepted' : (subject.reason ?? 'refused')]]
  }
  return subject.demands.map((demand) => [
    what,
    `${demand.policy}/${demand.rule}`,
    needs(demand),
    demand.found.map(({ authority }) => authority).join(', ') || '–',
    demand.met ? 'accepted' : (demand.reason ?? 'refused'),
  ])
}

function needs({ demand, needed, authorities }: DemandVerdict): string {
  const of = authorities.length === 1 ? authorities[0] : `${needed} of ${authorities.join(', ')}`
  return `${demand} by ${of}`
}

function verdictOf({ accepted, reason }: ArtifactVerdict): string {
  return accepted ? 'accepted' : (reason ?? 'refused')
}

function reasonsOf({ demands, accepted, reason, message }: SubjectVerdict): string[] {
  const unmet = demands.filter(({ met }) => !met)
  if (unmet.length === 0) return accepted ? [] : [`${reason}: ${message}`]
  return unmet.map((demand) => `${demand.reason}: ${demand.message}`)
}

function closing({ covered: { artifacts, refused, subjects, byBundleOnly, read, unread }, policies, accepted }: Report): string {
  const parts = subjects > artifacts ? ` (${subjects} bundles and images)` : ''
  const only =
    byBundleOnly === 0
      ? ''
      : ` ${byBundleOnly} ${byBundleOnly === 1 ? 'image is' : 'images are'} covered by no rule but by the bundle that names the digest.`
  const verdict = accepted ? 'accepted' : `${refused} refused, ${artifacts - refused} accepted`
  return `${artifacts} ${artifacts === 1 ? 'artifact' : 'artifacts'}${parts} verified by ${policies.join(', ')}: ${verdict}. ${read} signatures and attestations read, ${unread} could not be.${only}`
}

function section(title: string, lines: readonly string[]): string {
  return [title, ...lines.map((line) => `  ${line}`)].join('\n')
}

/** Names come from artifacts: nothing in them may speak to the terminal. */
function shown(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?').slice(0, 100)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
