import { readFile } from 'node:fs/promises'
import { serveRegistry } from '@muster/oci'
import { pino } from 'pino'
import { channelNeeds, channelRepositories } from './channel-needs.ts'
import { readText } from './files.ts'
import { registryConfigSchema } from './registry.ts'
import { parseRegistrySettings, registryOptions } from './registry-settings.ts'

/** The registry process: `registry-main.ts CONFIG`. Started and supervised by the host daemon. */
const [, , file] = process.argv
if (file === undefined) throw new Error('usage: registry-main.ts CONFIG')
const config = registryConfigSchema.parse(JSON.parse(await readFile(file, 'utf8')))
const settings = parseRegistrySettings((await readText(config.settings)) ?? '', config.settings)
const stop = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort())

await serveRegistry({
  root: config.root,
  listen: { host: config.host, port: config.port },
  tls: { cert: await readFile(config.certificate, 'utf8'), key: await readFile(config.key, 'utf8') },
  users: config.users,
  channels: { repositories: channelRepositories, needs: channelNeeds },
  ...(await registryOptions(settings)),
  logger: pino({ name: 'registry' }),
  signal: stop.signal,
})
