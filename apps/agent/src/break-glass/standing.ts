import { type BreakGlassReason, type BreakGlassRecord, type BreakGlassStatement, breakGlassReasons } from '@muster/api'

/** Clocks differ a little: what begins at most so far in the future, in milliseconds, has begun. */
const skewMs = 60_000

export type Standing =
  | { readonly open: true }
  | { readonly open: false; readonly reason: BreakGlassReason; readonly message: string; readonly againAtMs?: number }

/**
 * Whether a statement that is well signed opens the guard now. What was open before counts more than any clock: nothing opens twice, and
 * nothing that is older than what was open last. Pure.
 * @param last what was open last, or is
 * @param nowMs not before anything that is known to have been
 * @param installedAt since when what was open is remembered (ISO 8601): of an earlier installation of the same name nothing is known
 */
export function standingOf(
  { nonce, notBefore, until }: Pick<BreakGlassStatement, 'nonce' | 'notBefore' | 'until'>,
  last: BreakGlassRecord | undefined,
  nowMs: number,
  installedAt?: string,
): Standing {
  const no = (reason: BreakGlassReason, message: string): Standing => ({ open: false, reason, message })
  if (last?.nonce === nonce && (last.endedAt !== undefined || nowMs >= Date.parse(until)))
    return no(breakGlassReasons.ended, 'It has ended, and does not open again. Sign a new one.')
  if (last !== undefined && last.nonce !== nonce && Date.parse(notBefore) <= Date.parse(last.from))
    return no(breakGlassReasons.replayed, `One of ${last.from} was open after this one was signed: it counts no more. Sign a new one.`)
  if (nowMs >= Date.parse(until)) return no(breakGlassReasons.expired, `It was until ${until}, and that is past. Sign a new one.`)
  if (last === undefined && installedAt !== undefined && Date.parse(notBefore) + skewMs < Date.parse(installedAt))
    return no(
      breakGlassReasons.replayed,
      `It was signed before this release was installed here, at ${installedAt}: it may have been open for an earlier one. Sign a new one.`,
    )
  const early = Date.parse(notBefore) - skewMs - nowMs
  if (early > 0)
    return {
      ...no(breakGlassReasons.notYet, `It is from ${notBefore} on, and that is still to come by the clock of this cluster's agent.`),
      againAtMs: nowMs + early,
    } as Standing
  return { open: true }
}

/** The time as far as it is certain: never before what is known to have been, wherever the clock was set. */
export function certainNow(clockMs: number, issuedAt: string, last: BreakGlassRecord | undefined): number {
  const known = [issuedAt, last?.from, last?.endedAt].flatMap((text) => (text === undefined ? [] : [Date.parse(text)]))
  return Math.max(clockMs, ...known.filter((ms) => !Number.isNaN(ms)))
}

/** What of a record the hub is told while it is open. */
export function openOf(record: BreakGlassRecord | undefined): Pick<BreakGlassRecord, 'by' | 'reason' | 'until'> | undefined {
  return record === undefined || record.endedAt !== undefined ? undefined : { by: record.by, reason: record.reason, until: record.until }
}
