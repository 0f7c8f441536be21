import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import https from 'node:https'
import path from 'node:path'
import { debianPeer, goPeer, goPeers } from './peers.ts'
import { end, firstAnswer, freePorts } from './process.ts'

const loopback = '127.0.0.1'

export interface PeerRegistryOptions {
  /** Where it keeps its content, and its configuration. */
  readonly directory: string
  /** Whether manifests may be deleted. Not asked of crane's, which always allows it. */
  readonly deletes?: boolean
  /** Files in PEM, and the authority that the certificate is of, in PEM. Only distribution speaks TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly ca: string }
  /** Ends the waiting for its first answer. */
  readonly signal?: AbortSignal
}

/** A registry of others, to be started on a port and a directory. */
export interface PeerRegistry {
  readonly name: string
  /** The path of the program. The first time makes it: give it `peerMs`. */
  program(): Promise<string>
  arguments(port: number, options: PeerRegistryOptions): Promise<string[]>
}

export const distribution2: PeerRegistry = {
  name: 'distribution 2.8',
  program: () => debianPeer('docker-registry', 'usr/bin/docker-registry'),
  arguments: distribution,
}

export const distribution3: PeerRegistry = {
  name: 'distribution 3',
  program: () => goPeer(goPeers.distribution3),
  arguments: distribution,
}

export const craneRegistry: PeerRegistry = {
  name: 'the registry of go-containerregistry, which has no referrers',
  program: () => goPeer(goPeers.crane),
  arguments: async (port, { directory }) => ['registry', 'serve', '--address', `${loopback}:${port}`, '--disk', content(directory)],
}

/** The ones that tests of what Muster does with others run against. */
export const peerRegistries: readonly PeerRegistry[] = [distribution2, distribution3, craneRegistry]

export interface RunningPeerRegistry {
  /** `127.0.0.1:port`; stays the same through restarts. */
  readonly host: string
  /** Of the process as it runs now. */
  pid(): number
  /** Kills it, and waits for its end. Its content stays. */
  stop(): Promise<void>
  /** Starts it again on the same port and content, and waits for its first answer. */
  restart(): Promise<void>
}

/** A registry on a free port that answers. The caller stops it, and removes its directory. */
export async function startPeerRegistry(peer: PeerRegistry, options: PeerRegistryOptions): Promise<RunningPeerRegistry> {
  const [port = 0] = await freePorts(1)
  const program = await peer.program()
  const host = `${loopback}:${port}`
  await mkdir(content(options.directory), { recursive: true })
  const args = await peer.arguments(port, options)
  const start = async (): Promise<ChildProcess> => {
    const started = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { OTEL_TRACES_EXPORTER: 'none' } })
    let log = ''
    started.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-4000)
    })
    const { signal } = options
    try {
      await firstAnswer(started, () => answers(host, options.tls?.ca), { name: peer.name, log: () => log, ...(signal && { signal }) })
      return started
    } catch (error) {
      await end(started)
      throw error
    }
  }
  let child = await start()
  return {
    host,
    pid: () => child.pid ?? 0,
    stop: () => end(child),
    restart: async () => {
      await end(child)
      child = await start()
    },
  }
}

/** True once it says that it speaks the API of registries. */
async function answers(host: string, ca: string | undefined): Promise<true | undefined> {
  if (ca === undefined) return (await fetch(`http://${host}/v2/`, { signal: AbortSignal.timeout(10_000) })).ok || undefined
  return new Promise((resolve, reject) => {
    const request = https.get(`https://${host}/v2/`, { ca, agent: false, timeout: 10_000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200 || undefined)
    })
    request.on('timeout', () => request.destroy(new Error('no answer'))).on('error', reject)
  })
}

/** The configuration of distribution 2 and 3: files on disk, nobody is asked for a password. */
async function distribution(port: number, { directory, deletes = false, tls }: PeerRegistryOptions): Promise<string[]> {
  const config = {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: content(directory) }, delete: { enabled: deletes } },
    http: { addr: `${loopback}:${port}`, ...(tls && { tls: { certificate: tls.certificate, key: tls.key } }) },
  }
  const file = path.join(directory, 'config.yml')
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config))
  return ['serve', file]
}

function content(directory: string): string {
  return path.join(directory, 'registry')
}
