import { HostClient } from '@muster/host'
import type { Context } from '../context.ts'
import { table } from '../table.ts'

/** `muster logs [COMPONENT]`: the end of a component's log, or which components there are. */
export async function logs(context: Context, component: string | undefined, options: { readonly follow: boolean }): Promise<void> {
  const client = new HostClient(context.state)
  if (component === undefined) {
    const { components } = await client.status(context.signal)
    const rows = components.map((one) => [one.name, one.state, one.since ?? '-', String(one.restarts)])
    context.stdout.write(`${table(['COMPONENT', 'STATE', 'SINCE', 'RESTARTS'], rows)}\n`)
    return
  }
  for await (const chunk of client.logs(component, { follow: options.follow, signal: context.signal })) context.stdout.write(chunk)
}
