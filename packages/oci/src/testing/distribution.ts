import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { onTestFinished } from 'vitest'
import { goPeer, goPeers } from '../../../../test/peers/peers.ts'
import type { Registry } from '../client/registry.ts'
import { client, temporaryDirectory } from './registry.ts'

export interface Distribution {
  readonly host: string
  readonly registry: Registry
  kill(): Promise<void>
}

/** Distribution 3 on a free port, or again on the one that it had; ended after the test. */
export async function startDistribution(before?: {
  readonly directory: string
  readonly port: number
}): Promise<Distribution & { readonly directory: string; readonly port: number }> {
  const program = await goPeer(goPeers.distribution3)
  const { directory, port } = before ?? { directory: await temporaryDirectory(), port: await freePort() }
  const file = join(directory, 'config.yml')
  const config = {
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(directory, 'registry') }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}` },
  }
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config))
  const child = spawn(program, ['serve', file], { stdio: 'ignore', env: { OTEL_TRACES_EXPORTER: 'none' } })
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  onTestFinished(kill)
  const host = `127.0.0.1:${port}`
  const registry = client({ host, plainHttp: true })
  const deadline = performance.now() + 60_000
  for (;;) {
    const answered = await registry.ping().then(
      () => true,
      () => false,
    )
    if (answered) return { host, registry, kill, directory, port }
    if (child.exitCode !== null || performance.now() > deadline) throw new Error('distribution 3 does not answer')
    await pause(20)
  }
}

/** It does not tell which port it took. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
