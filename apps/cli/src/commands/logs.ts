import type { HostClient } from '@muster/host'
import type { Context } from '../context.ts'
import { daemonOf } from '../daemon.ts'
import { ExitCode } from '../errors.ts'
import { table } from '../table.ts'

/** `muster logs [COMPONENT]`: the end of a component's log, or which components there are. */
export async function logs(context: Context, component: string | undefined, options: { readonly follow: boolean }): Promise<void> {
  await daemonOf(context, (client) => (component === undefined ? list(context, client) : print(context, client, component, options)))
}

async function list(context: Context, client: HostClient): Promise<void> {
  const { components } = await client.status(context.signal)
  const rows = components.map((one) => [one.name, one.state, one.since ?? '-', String(one.restarts)])
  context.stdout.write(`${table(['COMPONENT', 'STATE', 'SINCE', 'RESTARTS'], rows)}\n`)
}

async function print(context: Context, client: HostClient, component: string, options: { readonly follow: boolean }): Promise<void> {
  try {
    for await (const chunk of client.logs(component, { follow: options.follow, signal: context.signal })) context.stdout.write(chunk)
  } catch (error) {
    // Ctrl-C is how one ends it.
    if (options.follow && context.signal.aborted) throw new ExitCode(130)
    throw error
  }
}
