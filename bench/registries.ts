import { spawn } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Registry, type RegistryOptions } from '@muster/oci'
import { createAuthority, issueCertificate } from '@muster/pki'
import { registryArgs } from '../apps/host/src/registry.ts'
import { firstAnswer, freePorts } from '../test/peers/process.ts'
import { distribution3, startPeerRegistry } from '../test/peers/registries.ts'
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
  const { dir, certificate, key, ca } = await prepare(context, 'muster')
  const [port = 0] = await freePorts(1)
  const root = path.join(dir, 'data')
  await mkdir(root, { recursive: true })
  const user = { name: 'bench', password: 'bench', access: 'write' }
  const config = path.join(dir, 'config.json')
  // There is no such file: the settings are the defaults.
  const settings = path.join(dir, 'settings.yaml')
  await writeFile(config, JSON.stringify({ root, host: loopback, port, certificate, key, users: [user], settings }))
  const env = { ...process.env, NODE_COMPILE_CACHE: path.join(context.cache, 'compile') }
  const child = spawn(process.execPath, [...registryArgs, config], { stdio: ['ignore', 'ignore', 'inherit'], env })
  const access = { host: `${loopback}:${port}`, ca, credentials: { username: user.name, password: user.password } }
  const stop = async (): Promise<void> => {
    await end(child)
    await rm(dir, { recursive: true, force: true })
  }
  const { signal } = context
  const client = new Registry({ ...access, retry: { baseMs: 10 } })
  try {
    await firstAnswer(child, () => client.ping({ signal }).then(() => true), { name: 'muster', timeoutMs: 20_000, signal })
    return { name: 'muster', pid: child.pid ?? 0, access, stop }
  } catch (error) {
    await stop()
    throw error
  } finally {
    client.close()
  }
}

/** distribution with its defaults, but a log of errors only: files on disk, nobody is asked for a password (its own check is slow). */
export async function startDistribution(context: BenchContext): Promise<RunningRegistry> {
  const { dir, certificate, key, ca } = await prepare(context, 'distribution')
  const running = await startPeerRegistry(distribution3, { directory: dir, tls: { certificate, key, ca }, signal: context.signal })
  const stop = async (): Promise<void> => {
    await running.stop()
    await rm(dir, { recursive: true, force: true })
  }
  return { name: 'distribution', pid: running.pid(), access: { host: running.host, ca }, stop }
}

interface Place {
  readonly dir: string
  readonly certificate: string
  readonly key: string
  readonly ca: string
}

async function prepare(context: BenchContext, name: string): Promise<Place> {
  const dir = path.join(context.scratch, `registry-${name}`)
  await mkdir(dir, { recursive: true })
  const now = new Date()
  const authority = await createAuthority('bench', { days: 2, now })
  const issued = await issueCertificate(authority, { commonName: 'bench', addresses: [loopback], usages: ['server'], days: 1, now })
  const [certificate, key] = [path.join(dir, 'tls.crt'), path.join(dir, 'tls.key')]
  await writeFile(certificate, issued.certificate)
  await writeFile(key, issued.privateKey, { mode: 0o600 })
  return { dir, certificate, key, ca: authority.certificate }
}
