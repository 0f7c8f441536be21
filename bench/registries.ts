import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Registry, type RegistryOptions } from '@muster/oci'
import { createAuthority, issueCertificate } from '@muster/pki'
import { registryArgs } from '../apps/host/src/registry.ts'
import type { BenchContext } from './harness.ts'
import { end } from './program.ts'

/** A registry in a process of its own, with a folder of its own. */
export interface RunningRegistry {
  readonly name: string
  readonly pid: number
  readonly access: RegistryOptions
  stop(): Promise<void>
}

const loopback = '127.0.0.1'

/** The registry as the host daemon runs it. */
export async function startMuster(context: BenchContext): Promise<RunningRegistry> {
  const place = await prepare(context, 'muster')
  const user = { name: 'bench', password: 'bench', access: 'write' }
  const config = path.join(place.dir, 'config.json')
  const { root, port, certificate, key } = place
  // There is no such file: the settings are the defaults.
  const settings = path.join(place.dir, 'settings.yaml')
  await writeFile(config, JSON.stringify({ root, host: loopback, port, certificate, key, users: [user], settings }))
  const child = spawn(process.execPath, [...registryArgs, config], { stdio: ['ignore', 'ignore', 'inherit'] })
  const credentials = { username: user.name, password: user.password }
  return ready(context, 'muster', child, place, { host: `${loopback}:${port}`, ca: place.ca, credentials })
}

/** distribution with its defaults: files on disk, and nobody is asked for a password (its own check of one is slow). */
export async function startDistribution(context: BenchContext, program: string): Promise<RunningRegistry> {
  const place = await prepare(context, 'distribution')
  const { root, port, certificate, key } = place
  const config = path.join(place.dir, 'config.yml')
  await writeFile(
    config,
    JSON.stringify({
      version: '0.1',
      storage: { filesystem: { rootdirectory: root } },
      http: { addr: `${loopback}:${port}`, tls: { certificate, key } },
    }),
  )
  const env = { ...process.env, OTEL_TRACES_EXPORTER: 'none' }
  const child = spawn(program, ['serve', config], { env, stdio: 'ignore' })
  return ready(context, 'distribution', child, place, { host: `${loopback}:${port}`, ca: place.ca })
}

interface Place {
  readonly dir: string
  readonly root: string
  readonly port: number
  readonly certificate: string
  readonly key: string
  readonly ca: string
}

async function prepare(context: BenchContext, name: string): Promise<Place> {
  const dir = path.join(context.scratch, `registry-${name}`)
  const root = path.join(dir, 'data')
  await mkdir(root, { recursive: true })
  const now = new Date()
  const authority = await createAuthority('bench', { days: 2, now })
  const issued = await issueCertificate(authority, { commonName: 'bench', addresses: [loopback], usages: ['server'], days: 1, now })
  const [certificate, key] = [path.join(dir, 'tls.crt'), path.join(dir, 'tls.key')]
  await writeFile(certificate, issued.certificate)
  await writeFile(key, issued.privateKey, { mode: 0o600 })
  return { dir, root, port: await freePort(), certificate, key, ca: authority.certificate }
}

async function ready(
  context: BenchContext,
  name: string,
  child: ChildProcess,
  place: Place,
  access: RegistryOptions,
): Promise<RunningRegistry> {
  const stop = async (): Promise<void> => {
    await end(child)
    await rm(place.dir, { recursive: true, force: true })
  }
  const client = new Registry({ ...access, retry: { baseMs: 10 } })
  try {
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(20_000)])
    for (;;) {
      const answered = await client.ping({ signal }).then(
        () => true,
        () => false,
      )
      if (answered) return { name, pid: child.pid ?? 0, access, stop }
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode} instead of answering.`)
      await pause(50, undefined, { signal })
    }
  } catch (error) {
    await stop()
    throw error
  } finally {
    client.close()
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject).listen(0, loopback, resolve)
  await promise
  const address = server.address()
  await new Promise((closed) => server.close(closed))
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.')
  return address.port
}
