import { apiVersion } from '@muster/api'
import { isKubeError, type KubeClient } from '@muster/kube'
import { FleetError } from './errors.ts'

const maxNamed = 20

/** Refuses the name of a release that is not in a cluster, before anything is written or waited for. @throws FleetError `UnknownRelease` */
export async function demandRelease(member: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  if ((await member.find({ apiVersion, kind: 'Release', name }, { signal }).catch(noneServed)) === undefined)
    throw await unknownRelease(member, name, signal)
}

/** What to say of a release that is not there: which there are, and which of these may be meant. */
export async function unknownRelease(member: KubeClient, name: string, signal: AbortSignal): Promise<FleetError> {
  const found = await member.list({ apiVersion, kind: 'Release' }, { signal }).catch(noneServed)
  const names = (found?.items ?? []).map(({ metadata }) => metadata.name)
  return new FleetError('UnknownRelease', `There is no release "${name}" in this cluster. ${thereAre(name, names)}`)
}

/** A cluster that was never a member has none. */
function noneServed(error: unknown): undefined {
  if (!isKubeError(error, 'UnknownKind')) throw error
}

/** Names that there are, the nearest first where some are near. Pure. */
export function thereAre(name: string, names: readonly string[]): string {
  if (names.length === 0) return 'It has none.'
  const near = nearTo(name, names)
  const others = names.filter((one) => !near.includes(one)).sort()
  const meant = near.length === 0 ? '' : `Is it ${near.join(' or ')}? `
  const listed = [...near, ...others]
  const more = listed.length > maxNamed ? ` and ${listed.length - maxNamed} more` : ''
  return `${meant}It has: ${listed.slice(0, maxNamed).join(', ')}${more}.`
}

const maxNear = 3

/** Names that differ by a slip or two of the fingers, or that begin with what was typed; the nearest first. */
function nearTo(name: string, names: readonly string[]): string[] {
  const slips = Math.max(1, Math.floor(name.length / 3))
  return names
    .map((one) => ({ one, distance: one.startsWith(name) ? 1 : distance(name, one) }))
    .filter((candidate) => candidate.distance <= slips)
    .sort((a, b) => a.distance - b.distance || (a.one < b.one ? -1 : 1))
    .slice(0, maxNear)
    .map(({ one }) => one)
}

/** How many characters must be put in, taken out, replaced or swapped with the next to make one of the other. Names of releases are short. */
function distance(a: string, b: string): number {
  const first = Array.from({ length: b.length + 1 }, (_, at) => at)
  const rows = [first]
  for (let i = 1; i <= a.length; i++) {
    const [before = first, last = first] = [rows[i - 2], rows[i - 1]]
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = i > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : replaced
      row.push(Math.min(replaced, swapped, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    rows.push(row)
  }
  return rows.at(-1)?.at(-1) ?? 0
}
