import { readdir, readFile } from 'node:fs/promises'
import { inClusterConfig, KubeClient, loadKubeconfig } from '@muster/kube'
import { Registry } from '@muster/oci'
import { pino } from 'pino'
import { runHub } from './hub.ts'
import { errorFields } from './log.ts'
import { type Files, readSettings } from './settings.ts'

const absent = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'

const files: Files = {
  read: (file) =>
    readFile(file, 'utf8').catch((error: unknown) => {
      if (absent(error)) return undefined
      throw error
    }),
  list: (folder) =>
    readdir(folder).catch((error: unknown) => {
      if (absent(error)) return []
      throw error
    }),
}

async function main(): Promise<number> {
  const log = pino({
    level: process.env['MUSTER_LOG_LEVEL'] ?? 'info',
    base: { component: 'hub' },
    timestamp: pino.stdTimeFunctions.isoTime,
  })
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      log.info({ signal: name }, 'stopping')
      stop.abort()
    })
  }
  try {
    const settings = await readSettings(process.env, files)
    const kubeconfig = process.env['KUBECONFIG']
    const client = new KubeClient(kubeconfig ? await loadKubeconfig(kubeconfig) : await inClusterConfig({ env: process.env }), {
      userAgent: 'muster-hub',
      fieldManager: 'muster-hub',
    })
    const { host, ca, ...credentials } = settings.registry
    const registry = new Registry({ host, ca, credentials, userAgent: 'muster-hub' })
    await runHub(
      {
        ...settings,
        client,
        registry,
        registryAccess: { host, ca, ...settings.reader },
        now: () => new Date(),
        monotonicMs: () => performance.now(),
        log,
      },
      stop.signal,
    )
    registry.close()
    client.close()
    log.info({}, 'stopped')
    return 0
  } catch (error) {
    log.fatal(errorFields(error), 'the hub ended')
    return 1
  }
}

process.exitCode = await main()
