import { inClusterConfig, KubeClient, loadKubeconfig } from '@muster/kube'
import { fieldManager } from '@muster/reconcile'
import { pino } from 'pino'
import { runAgent } from './agent.ts'
import { systemClock } from './clock.ts'
import { codeOf, messageOf } from './error.ts'
import { userAgent } from './identity.ts'
import { readSettings } from './settings.ts'
import { agentVersion } from './version.ts'

const settings = readSettings(process.env)
const logger = pino({ level: settings.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime })
const stop = new AbortController()
for (const name of ['SIGTERM', 'SIGINT'] as const)
  process.once(name, () => stop.abort(new DOMException(`stopped by ${name}`, 'AbortError')))

try {
  const config = settings.kubeconfig === undefined ? await inClusterConfig({ env: process.env }) : await loadKubeconfig(settings.kubeconfig)
  const client = new KubeClient(config, { userAgent: userAgent(agentVersion), fieldManager, silenceMs: settings.watchSilenceMs })
  await runAgent({ client, settings, clock: systemClock, logger }, stop.signal)
  client.close()
  logger.info({}, 'the agent has stopped')
} catch (error) {
  if (!stop.signal.aborted) {
    logger.error({ code: codeOf(error), reason: messageOf(error) }, 'the agent cannot go on and ends')
    process.exitCode = 1
  }
}
