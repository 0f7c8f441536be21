import { CommanderError } from 'commander'

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by verification or policy. */
const exit = { failed: 1, usage: 2, refused: 3 } as const

/** Codes of the packages' errors by which something was refused rather than broken. */
const refusals: ReadonlySet<string> = new Set([
  'SignatureMissing',
  'SignatureWrongKey',
  'SignatureInvalid',
  'DigestMismatch',
  'DataDamaged',
  'ChecksumMismatch',
  'ChannelRollback',
  'ChannelSignature',
  'ChannelWrongCluster',
])

/** Wrong words on the command line. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** Another program's exit code, handed on as it is (`muster kubectl`). */
export class ExitCode extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`)
    this.exitCode = exitCode
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof ExitCode) return error.exitCode
  if (error instanceof UsageError) return exit.usage
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exit.usage
  if (refusals.has(codeOf(error))) return exit.refused
  return exit.failed
}

/** One sentence for a person: what happened and what to do. Never a stack trace. */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  const because = cause instanceof Error && !error.message.includes(cause.message) && isSystemError(cause) ? ` (${cause.message})` : ''
  return `${error.message}${because}`
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function isSystemError(error: Error): boolean {
  return 'syscall' in error
}
