import { parseScope } from '@muster/oci'
import type { Context } from '../context.ts'
import { Failure, UsageError } from '../errors.ts'
import { administering, printed, readableTime } from '../registry-administration.ts'
import { table } from '../table.ts'

export interface CreateTokenOptions {
  readonly scope: readonly string[]
  readonly expires?: string
  readonly replace: boolean
}

const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `muster registry token create`: the token alone on standard output, for scripts. */
export async function createToken(context: Context, name: string, options: CreateTokenOptions): Promise<void> {
  if (!/^[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,126}[a-zA-Z0-9])?$/.test(name))
    throw new UsageError(`"${name}" is no name of a token: use at most 128 letters, digits, dots and hyphens.`)
  if (options.scope.length === 0) throw new UsageError('Say what it is for: --scope "repository:PATTERN:pull,push,delete".')
  for (const scope of options.scope)
    if (parseScope(scope) === undefined)
      throw new UsageError(
        `"${scope}" is no scope: write repository:PATTERN:ACTIONS with the actions pull, push and delete, or registry:metrics:pull.`,
      )
  const expiresMs = options.expires === undefined ? undefined : Date.now() + millisecondsOf(options.expires)
  const wanted = { name, scopes: [...options.scope], replace: options.replace, ...(expiresMs === undefined ? {} : { expiresMs }) }
  const { token } = await administering(context, (administration) => administration.createToken(wanted, { signal: context.signal }))
  context.stdout.write(`${token}\n`)
  context.stderr.write(
    `Token ${name}, until ${expiresMs === undefined ? 'it is revoked' : readableTime(expiresMs)}. It is shown only now: keep it; it is the password, under any user name.\n`,
  )
}

/** `muster registry token list` */
export async function listTokens(context: Context, { output }: { readonly output: 'table' | 'json' }): Promise<void> {
  const tokens = await administering(context, (administration) => administration.tokens({ signal: context.signal }))
  const now = Date.now()
  printed(context, output, tokens, () =>
    table(
      ['NAME', 'SCOPES', 'CREATED', 'EXPIRES'],
      tokens.map(({ name, scopes, createdMs, expiresMs }) => [
        name,
        scopes.join(' '),
        readableTime(createdMs),
        expiresMs === undefined ? 'never' : `${readableTime(expiresMs)}${expiresMs <= now ? ' (ended)' : ''}`,
      ]),
    ),
  )
}

/** `muster registry token revoke` */
export async function revokeToken(context: Context, name: string): Promise<void> {
  const revoked = await administering(context, (administration) => administration.revokeToken(name, { signal: context.signal }))
  if (!revoked) throw new Failure(`There is no token ${name}. "muster registry token list" shows those that there are.`)
  context.stdout.write(`Token ${name} counts no more.\n`)
}

function millisecondsOf(text: string): number {
  const [, number = '', unit = ''] = /^([1-9][0-9]{0,4})([mhd])$/.exec(text) ?? []
  const milliseconds = Number(number) * (units[unit] ?? 0)
  if (milliseconds === 0) throw new UsageError(`"${text}" is no length of time: write it as 90d, 12h or 30m.`)
  return milliseconds
}
