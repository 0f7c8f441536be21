import { spawn } from 'node:child_process'
import { mkdir, open, readFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as z from 'zod'
import { cleanInstance, mountsBelow } from './clean.ts'
import { HostError, type HostErrorCode } from './errors.ts'
import { readJson, remove } from './files.ts'
import type { ComponentAction, HostStatus } from './host.ts'
import { checkInstanceId, paths } from './instance.ts'
import { lastWords } from './last-words.ts'
import { lockInstance } from './lock.ts'
import { isAlive, signalTo } from './proc.ts'
import type { ProgressLine } from './server.ts'
import type { HostConfigInput } from './state.ts'

export interface InstanceOptions {
  readonly instance: string
  /** The instance's state folder, absolute. */
  readonly state: string
}

interface WorkOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (message: string) => void
}

const program = join(import.meta.dirname, 'main.ts')
const identitySchema = z.object({ pid: z.number(), startTime: z.string(), bootId: z.string() })
const spawnTimeoutMs = 20_000
const stopTimeoutMs = 120_000

/** Speaks to the daemon of an instance. Each call throws HostError: `Unreachable` when there is no daemon, else the daemon's own code. */
export class HostClient {
  readonly #socket: string

  constructor(state: string) {
    this.#socket = paths(state).socket
  }

  async status(signal?: AbortSignal): Promise<HostStatus> {
    return JSON.parse(await text(await this.#send('GET', '/v1/status', undefined, signal))) as HostStatus
  }

  /** Starts the registry alone, so that it can be filled before clusters start. */
  async startRegistry(options: WorkOptions = {}): Promise<void> {
    await this.#work('POST', '/v1/registry', {}, options)
  }

  /** Starts the registry and the clusters that there are to be; `config` is kept for later starts. */
  async start(config: HostConfigInput | undefined, options: WorkOptions = {}): Promise<void> {
    await this.#work('POST', '/v1/start', config === undefined ? {} : { config }, options)
  }

  /** Makes a cluster, or makes sure that it runs; returns when its nodes are ready and its DNS answers. */
  async createCluster(cluster: { readonly name: string; readonly nodes?: number }, options: WorkOptions = {}): Promise<void> {
    await this.#work('POST', '/v1/clusters', cluster, options)
  }

  async deleteCluster(name: string, options: WorkOptions = {}): Promise<void> {
    await this.#work('DELETE', `/v1/clusters/${encodeURIComponent(name)}`, undefined, options)
  }

  /** Stops a component ("hub/etcd"), which stays down until it, or the instance, is started; starts it and waits for it; or both. */
  async component(name: string, action: ComponentAction, options: WorkOptions = {}): Promise<void> {
    await this.#work('POST', `/v1/components/${pathOf(name)}/${action}`, {}, options)
  }

  /** Stops everything, the daemon too. */
  async stop(options: WorkOptions = {}): Promise<void> {
    await this.#work('POST', '/v1/stop', {}, options)
  }

  /** The end of a component's log ("hub/etcd", "hub-1/kubelet", "registry", "host", "hub/audit"), then with `follow` what is added. */
  async *logs(
    component: string,
    options: { readonly follow?: boolean; readonly tailBytes?: number; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Buffer> {
    const query = new URLSearchParams({
      ...(options.follow === true ? { follow: '1' } : {}),
      ...(options.tailBytes === undefined ? {} : { tail: String(options.tailBytes) }),
    })
    const response = await this.#send('GET', `/v1/logs/${pathOf(component)}?${query}`, undefined, options.signal)
    for await (const chunk of response) yield chunk as Buffer
  }

  async #work(method: string, path: string, body: object | undefined, options: WorkOptions): Promise<void> {
    const response = await this.#send(method, path, body, options.signal)
    let pending = ''
    for await (const chunk of response) {
      const lines = (pending + String(chunk)).split('\n')
      pending = lines.pop() ?? ''
      for (const line of lines) {
        const said = JSON.parse(line) as ProgressLine
        if (said.type === 'done') return
        if (said.type === 'error') throw new HostError(said.code as HostErrorCode, said.message)
        options.onProgress?.(said.message)
      }
    }
    throw new HostError('Unreachable', 'The host daemon ended while it was at work; see its log, and ask again.')
  }

  async #send(method: string, path: string, body: object | undefined, signal: AbortSignal | undefined): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const sent = request({ socketPath: this.#socket, method, path, agent: false, ...(signal === undefined ? {} : { signal }) }, resolve)
      sent.once('error', (cause) => {
        if (signal?.aborted === true) reject(cause)
        else reject(new HostError('Unreachable', 'The host daemon does not run; start it with `muster up`.', cause))
      })
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
    if (response.statusCode === 200) return response
    const problem = JSON.parse(await text(response)) as { code: HostErrorCode; message: string }
    throw new HostError(problem.code, problem.message)
  }
}

/** The client of an instance's daemon, which is started first, detached, when it does not run. */
export async function ensureDaemon(options: InstanceOptions & { readonly signal?: AbortSignal }): Promise<HostClient> {
  checkInstanceId(options.instance)
  const client = new HostClient(options.state)
  if (await answers(client)) return client
  const places = paths(options.state)
  await mkdir(places.logs, { recursive: true, mode: 0o700 })
  const file = join(places.logs, 'host.log')
  const log = await open(file, 'a', 0o600)
  const { size } = await log.stat()
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, '--instance', options.instance, '--state', options.state],
    {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    },
  )
  // Before anything waits: one that ends at once would have ended unseen.
  let ended = false
  child.once('exit', () => {
    ended = true
  })
  child.once('error', () => {
    ended = true
  })
  await log.close()
  child.unref()
  const deadline = Date.now() + spawnTimeoutMs
  while (!ended && Date.now() < deadline) {
    options.signal?.throwIfAborted()
    if (await answers(client)) return client
    await delay(50)
  }
  // Two may start it at once: the one that lost finds the other's.
  if (await answers(client)) return client
  const said = lastWords((await readFile(file).catch(() => Buffer.alloc(0))).subarray(size).toString('utf8'))
  const why = said === '' ? 'it did not say why.' : said
  throw new HostError('Unreachable', `The host daemon of instance ${options.instance} did not start: ${why} Its log is ${file}.`)
}

/**
 * Takes an instance down, with its daemon or, when that is dead, without. Leaves no process, mount, control group, namespace
 * or link of it. `purge` forgets the state too.
 */
export async function takeDown(options: InstanceOptions & WorkOptions & { readonly purge?: boolean }): Promise<void> {
  const client = new HostClient(options.state)
  if (await answers(client)) {
    await client.stop({ ...options, signal: options.signal ?? AbortSignal.timeout(stopTimeoutMs) })
    await untilUnlocked(options.instance)
  } else await endDaemon(options.state)
  // After a good stop this finds nothing.
  await cleanInstance(options.instance, options.state)
  if (options.purge === true) await purgeState(options)
}

/** Removes the state folder of an instance that is down. */
export async function purgeState(options: InstanceOptions): Promise<void> {
  const mounted = await mountsBelow(options.state)
  if (mounted.length > 0) throw new HostError('NotReady', `${mounted[0]} is still mounted; take the instance down first.`)
  const lock = await lockInstance(options.instance)
  try {
    await remove(options.state)
  } finally {
    await lock.release()
  }
}

async function answers(client: HostClient): Promise<boolean> {
  try {
    await client.status(AbortSignal.timeout(5_000))
    return true
  } catch {
    return false
  }
}

/** Kills a daemon that lives and does not answer: it could not be asked to stop, and would restart what is being removed. */
async function endDaemon(state: string): Promise<void> {
  const daemon = await readJson(paths(state).daemon, identitySchema).catch(() => undefined)
  if (daemon === undefined) return
  for (let attempt = 0; attempt < 100 && (await isAlive(daemon)); attempt++) {
    signalTo(daemon.pid, 'SIGKILL')
    await delay(50)
  }
}

async function untilUnlocked(id: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      await (await lockInstance(id)).release()
      return
    } catch {
      await delay(50)
    }
  }
}

/** The slash of a component's name stays one. */
function pathOf(component: string): string {
  return component.split('/').map(encodeURIComponent).join('/')
}

async function text(response: IncomingMessage): Promise<string> {
  let content = ''
  for await (const chunk of response) content += String(chunk)
  return content
}
