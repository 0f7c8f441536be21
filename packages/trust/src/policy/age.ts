const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Clocks differ a little: what is at most so far in the future (milliseconds) is taken for now. */
const skewMs = 5 * 60_000

/** Where well-known predicates keep the time that they speak about. */
const timeFields: Readonly<Record<string, string>> = {
  'https://slsa.dev/provenance/v1': 'runDetails.metadata.finishedOn',
  'https://cosign.sigstore.dev/attestation/vuln/v1': 'metadata.scanFinishedOn',
  'https://in-toto.io/attestation/vulns/v0.1': 'metadata.scanFinishedOn',
  'https://in-toto.io/attestation/vulns/v0.2': 'metadata.scanFinishedOn',
  'https://spdx.dev/Document': 'creationInfo.created',
  'https://cyclonedx.org/bom': 'metadata.timestamp',
}

/** A duration such as `24h`, in milliseconds. The schema has checked its form. */
export function durationMs(text: string): number {
  const unit = text.at(-1)
  return Number(text.slice(0, -1)) * (unit === 'm' || unit === 'h' || unit === 'd' ? unitMs[unit] : Number.NaN)
}

export interface AgeRule {
  readonly maxAge: string
  readonly timeField?: string | undefined
}

/**
 * Why an attestation is too old, or nothing when it is not. What gives no time is too old: unknown is not fresh.
 * @param signedAt of a trusted time stamp, where there is one
 */
export function tooOld(
  { maxAge, timeField }: AgeRule,
  attestation: { readonly predicateType: string; readonly predicate: unknown; readonly signedAt: Date | undefined },
  now: Date,
): string | undefined {
  const field = timeField ?? timeFields[attestation.predicateType]
  const said = field === undefined ? undefined : valueAt(attestation.predicate, field)
  if (field !== undefined && timeField !== undefined && said === undefined) return `It gives no time at ${field}, so its age is unknown.`
  const time = said === undefined ? attestation.signedAt : timeOf(said)
  if (time === undefined) {
    return said === undefined
      ? 'It gives no time and bears no time stamp, so its age is unknown.'
      : `What it gives at ${field} is no time (RFC 3339), so its age is unknown.`
  }
  const ageMs = now.getTime() - time.getTime()
  if (ageMs < -skewMs) return `It is of ${time.toISOString()}, which is still to come: its age is unknown.`
  if (ageMs <= durationMs(maxAge)) return undefined
  return `It is of ${time.toISOString()}, ${describeAge(ageMs)} old; at most ${maxAge} is allowed.`
}

function describeAge(ageMs: number): string {
  const [unit, size] = ageMs >= 2 * unitMs.d ? (['days', unitMs.d] as const) : (['hours', unitMs.h] as const)
  return `${Math.floor(ageMs / size)} ${unit}`
}

function valueAt(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((object, key) => {
    return typeof object === 'object' && object !== null && !Array.isArray(object) && Object.hasOwn(object, key)
      ? (object as Record<string, unknown>)[key]
      : undefined
  }, value)
}

/** RFC 3339 with a zone: a time without one means another thing everywhere. */
function timeOf(value: unknown): Date | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value)) return undefined
  const time = new Date(value)
  return Number.isNaN(time.getTime()) ? undefined : time
}
