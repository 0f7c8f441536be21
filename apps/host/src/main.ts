import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { runDaemon } from './daemon.ts'
import { messageOf } from './errors.ts'

/** The host daemon: `main.ts --instance ID --state DIR`. Started by the command line, detached. */
const { values } = parseArgs({ options: { instance: { type: 'string' }, state: { type: 'string' } } })
if (values.instance === undefined || values.state === undefined) throw new Error('usage: main.ts --instance ID --state DIR')
const logger = pino({ name: 'host', base: { instance: values.instance } })
const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort())

try {
  await runDaemon({ id: values.instance, state: values.state, signal: stop.signal, logger })
  process.exit(0)
} catch (error) {
  logger.error(messageOf(error))
  process.exit(1)
}
