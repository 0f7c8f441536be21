import { CommanderError } from 'commander'

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by verification or policy; 128 and a signal's number when stopped by it. */
const exit = { failed: 1, usage: 2, refused: 3 } as const

/** Codes of the packages' errors by which something was refused rather than broken. */
const refusals: ReadonlySet<string> = new Set([
  'SignatureMissing',
  'SignatureWrongKey',
  'SignatureInvalid',
  'DigestMismatch',
  'DataDamaged',
  'ImageDigest',
  'ChecksumMismatch',
  'ChannelRollback',
  'ChannelSignature',
  'ChannelWrongCluster',
  'RootSignature',
  'RootChainBroken',
  'KeyNotAllowed',
  'NoneFound',
  'UnknownFormat',
  'WrongKey',
  'IdentityNotAllowed',
  'Expired',
  'TooOld',
  'PredicateRefused',
  'KeyInvalid',
  'BreakGlassRefused',
])

/** Wrong words on the command line. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What the command line itself finds wrong: a file that is missing, an instance that is not up. */
export class Failure extends Error {
  override readonly name = 'Failure'
}

/** Someone pressed Ctrl-C, or asked the process to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP') {
    super('Stopped. What was done so far is kept; the same command goes on from there.')
    this.exitCode = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 }[signal]
  }
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
  if (error instanceof ExitCode || error instanceof Interrupted) return error.exitCode
  if (error instanceof UsageError) return exit.usage
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exit.usage
  if (refusals.has(codeOf(error))) return exit.refused
  return exit.failed
}

/**
 * One sentence for a person: what happened and what to do. Never a stack trace: of an error that nobody foresaw it says so, and
 * with `debug` the stack follows.
 */
export function explain(error: unknown, options: { readonly debug?: boolean } = {}): string {
  const sentence = sentenceOf(error)
  return options.debug === true && error instanceof Error ? `${sentence}\n${stacksOf(error)}` : sentence
}

function sentenceOf(error: unknown): string {
  const full = systemErrors(error).find(({ code }) => code === 'ENOSPC' || code === 'EDQUOT')
  if (full) {
    return `There is no space left on the disk${ofPath(full)}. Make room, or set MUSTER_CACHE and MUSTER_STATE to folders on a larger disk; the same command then goes on where it was.`
  }
  if (error instanceof Error && isForeseen(error)) return error.message + because(error)
  const [system] = systemErrors(error)
  if (system) return systemSentence(system)
  const said = error instanceof Error ? error.message : String(error)
  return `An unexpected error, which is a mistake in Muster: ${said.split('\n', 1)[0]}. Please report it, with what MUSTER_DEBUG=1 prints for the same command.`
}

/** The command line's own errors, and the packages': each of theirs has a code, and says whether it may pass. */
function isForeseen(error: Error): boolean {
  if (error instanceof UsageError || error instanceof Failure || error instanceof Interrupted) return true
  return codeOf(error) !== '' && 'transient' in error
}

/** What the system said, where that adds something: that a thing is missing is in the message already. */
function because(error: Error): string {
  const { cause } = error
  if (!isSystemError(cause) || cause.code === undefined || cause.code === 'ENOENT') return ''
  return error.message.includes(cause.code) || error.message.includes(cause.message) ? '' : ` (${cause.message})`
}

function systemSentence(error: NodeJS.ErrnoException): string {
  const what = error.path ?? error.syscall ?? 'The system'
  switch (error.code) {
    case 'ENOENT':
      return error.syscall?.startsWith('spawn') === true
        ? `The program ${what} is not there. Install it, or put its folder on PATH.`
        : `${what} is not there. Check the path; "muster up" makes again what an instance lacks.`
    case 'EACCES':
    case 'EPERM':
      return `This user may not use ${what}. Run the command with sudo, or mend the permissions.`
    case 'EROFS':
      return `${what} is on a file system that cannot be written. Set MUSTER_STATE and MUSTER_CACHE to folders that can.`
    case 'ENOTDIR':
    case 'EEXIST':
      return `${what} cannot be made or used as a folder: a file is in its way. Move it, or set MUSTER_STATE or MUSTER_CACHE to another folder.`
    case 'EISDIR':
      return `${what} is a folder where a file is needed. Check the path.`
    case 'EMFILE':
    case 'ENFILE':
      return 'Too many files are open. Raise the limit (ulimit -n), then run the command again.'
    case 'EADDRINUSE':
    case 'EADDRNOTAVAIL':
      return `An address that is needed cannot be had (${error.message}). End what uses it, then run the command again.`
    default:
      return `The system said no: ${error.message}. Run the command again when that is mended.`
  }
}

function ofPath(error: NodeJS.ErrnoException): string {
  return error.path === undefined ? '' : ` of ${error.path}`
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

/** The system's errors among an error and its causes. */
function systemErrors(error: unknown): NodeJS.ErrnoException[] {
  return chainOf(error).filter(isSystemError)
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}

function stacksOf(error: Error): string {
  return chainOf(error)
    .map((one) => (one instanceof Error ? (one.stack ?? one.message) : String(one)))
    .join('\ncaused by: ')
}

const longestChain = 10

function chainOf(error: unknown): unknown[] {
  const chain: unknown[] = []
  for (let one = error; one !== undefined && chain.length < longestChain; one = one instanceof Error ? one.cause : undefined) {
    chain.push(one)
  }
  return chain
}
