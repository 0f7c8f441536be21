import { randomBytes } from 'node:crypto'
import { userInfo } from 'node:os'
import type { BreakGlass, BreakGlassStatement } from '@muster/api'
import { breakGlass, breakGlasses, breakGlassOf, demandRelease, endBreakGlass } from '@muster/fleet'
import { maxBreakGlassMs, readBreakGlass, signBreakGlass } from '@muster/trust'
import { printable } from '../bundles.ts'
import type { Context } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { demandReleaseName, type WhereOptions, withSite } from '../releases.ts'
import { openSigners, type SigningOptions } from '../signing.ts'
import { table } from '../table.ts'

/** How long the agent of a cluster may take to answer, in milliseconds. */
const patienceMs = 60_000
const unitMs: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 }

export interface BreakGlassCommandOptions extends WhereOptions, SigningOptions {
  readonly cluster: string
  readonly for?: string
  readonly reason?: string
  readonly by?: string
  readonly approve: boolean
  readonly end: boolean
  readonly output: 'table' | 'json'
}

/** `muster break-glass`: opens the write guard for a release for a time, closes it, adds a signature, or lists what is open. */
export async function breakGlassCommand(context: Context, release: string | undefined, options: BreakGlassCommandOptions): Promise<void> {
  if (options.end && options.approve) throw new UsageError('Say one of --end and --approve.')
  if ((options.end || options.approve) && (options.for ?? options.reason) !== undefined)
    throw new UsageError('--end and --approve are for what was asked already: leave out --for and --reason.')
  if (release === undefined) {
    if (options.end || options.approve || (options.for ?? options.reason) !== undefined)
      throw new UsageError('Say for which release: muster break-glass RELEASE --cluster NAME …')
    return list(context, options)
  }
  demandReleaseName(release)
  if (options.end) return end(context, release, options)
  if (options.approve) return approve(context, release, options)
  const { reason } = options
  if (options.for === undefined || reason === undefined)
    throw new UsageError('Say for how long and why: --for 30m --reason TEXT. It is shown to everybody who looks at the release.')
  const statement = statementOf(release, { ...options, for: options.for, reason }, new Date())
  // Before anybody is asked for a passphrase.
  await withSite(context, options, (member) => demandRelease(member, release, context.signal))
  const signatures = await signaturesOn(context, statement, options)
  await open(context, release, signatures, options)
}

/** What is signed. @throws UsageError */
export function statementOf(
  release: string,
  { cluster, reason, by = userInfo().username, for: duration }: { cluster: string; reason: string; by?: string; for: string },
  now: Date,
): BreakGlassStatement {
  const [, count = '', unit = ''] = /^([1-9][0-9]{0,4})([smh])$/.exec(duration) ?? []
  const ms = Number(count) * (unitMs[unit] ?? Number.NaN)
  if (!(ms > 0 && ms <= maxBreakGlassMs)) throw new UsageError(`--for is a time such as 30m or 2h, at most 24h, and not "${duration}".`)
  if (reason.trim() === '' || reason.length > 1024 || printable(reason) !== reason)
    throw new UsageError('--reason is a text of at most 1,024 characters in one line.')
  const nonce = randomBytes(18).toString('base64url')
  const until = new Date(now.getTime() + ms).toISOString()
  return { cluster, release, reason, by, notBefore: now.toISOString(), until, nonce }
}

async function signaturesOn(context: Context, statement: BreakGlassStatement, options: BreakGlassCommandOptions): Promise<string[]> {
  const { keys, timestamp, logged } = await openSigners(context, options)
  const { signal } = context
  const signatures: string[] = []
  for (const key of keys) signatures.push(JSON.stringify(await logged(await signBreakGlass(statement, { key, timestamp, signal }), key)))
  return signatures
}

async function open(context: Context, release: string, signatures: readonly string[], options: BreakGlassCommandOptions): Promise<void> {
  await withSite(context, options, async (member) => {
    const { status } = await breakGlass(member, release, signatures, { signal: context.signal, deadlineMs: patienceMs })
    context.stdout.write(
      `${release} in ${options.cluster} is open until ${status?.until}: others may write what it holds, and drift is only told.\n` +
        `Then it is closed, and put back to what is signed. To close it before: muster break-glass ${release} --cluster ${options.cluster} --end\n`,
    )
  })
}

/** A second person signs the same. */
async function approve(context: Context, release: string, options: BreakGlassCommandOptions): Promise<void> {
  const asked = await withSite(context, options, (member) => breakGlassOf(member, release, context.signal))
  if (asked === undefined) {
    await withSite(context, options, (member) => demandRelease(member, release, context.signal))
    throw new Failure(`Nobody asked to break glass for ${release} in ${options.cluster}.`)
  }
  const { signatures } = asked.spec
  const { statement } = readBreakGlass(signatures)
  if (statement.cluster !== options.cluster || statement.release !== release)
    throw new Failure(`What was asked is for release ${statement.release} of cluster ${statement.cluster}: it opens nothing here.`)
  context.stdout.write(`Signing for ${printable(statement.by)}, until ${statement.until}: ${printable(statement.reason)}\n`)
  await open(context, release, [...signatures, ...(await signaturesOn(context, statement, options))], options)
}

async function end(context: Context, release: string, options: BreakGlassCommandOptions): Promise<void> {
  await withSite(context, options, async (member) => {
    const was = await endBreakGlass(member, release, { signal: context.signal, deadlineMs: patienceMs })
    context.stdout.write(
      was
        ? `${release} in ${options.cluster} is closed again: what differs from what is signed is put back.\n`
        : `${release} in ${options.cluster} is not open.\n`,
    )
  })
}

async function list(context: Context, options: BreakGlassCommandOptions): Promise<void> {
  const asked = await withSite(context, options, (member) => breakGlasses(member, context.signal))
  context.stdout.write(options.output === 'json' ? `${JSON.stringify(asked.map(shown), undefined, 2)}\n` : `${listed(asked)}\n`)
}

function shown({ metadata, status }: BreakGlass) {
  const condition = status?.conditions?.find(({ type }) => type === 'Open')
  return {
    release: metadata.name,
    open: condition?.status === 'True',
    state: condition?.reason ?? 'Unknown',
    message: condition?.message ?? '',
    by: status?.by,
    signedBy: status?.signedBy ?? [],
    until: status?.until,
    reason: status?.reason,
  }
}

function listed(asked: readonly BreakGlass[]): string {
  if (asked.length === 0) return 'Nothing is open.'
  const rows = asked.map(shown).map((one) => {
    const { release, state, by, signedBy, until, reason } = one
    return [release, state, printable(by ?? '-'), signedBy.join(', ') || '-', until ?? '-', printable(reason ?? '-')]
  })
  return table(['RELEASE', 'STATE', 'BY', 'SIGNED BY', 'UNTIL', 'REASON'], rows)
}
