import type { Context } from '../context.ts'
import { daemonOf } from '../daemon.ts'

/** `muster component stop|start|restart NAME`: one supervised component; what is stopped stays so until it is started. */
export async function component(context: Context, action: 'stop' | 'start' | 'restart', name: string): Promise<void> {
  await daemonOf(context, (client) => client.component(name, action, { signal: context.signal }))
  const done = { stop: 'stopped', start: 'running', restart: 'running again' }[action]
  context.stdout.write(`${name} is ${done}.\n`)
}
