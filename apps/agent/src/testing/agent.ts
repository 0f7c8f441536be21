import type { KubeClient, KubeObject } from '@muster/kube'
import { runAgent } from '../agent.ts'
import { type Clock, systemClock } from '../clock.ts'
import type { Logger } from '../logger.ts'
import type { TestFleet } from './fleet.ts'

/** Says nothing, unless somebody who looks for a fault wants to hear it. */
const log = (fields: object, message: string): void => {
  if (process.env['MUSTER_TEST_LOG']) console.log(message, JSON.stringify(fields))
}
const testLogger: Logger = { debug: log, info: log, warn: log, error: log }

const writes: ReadonlySet<string> = new Set(['apply', 'create', 'replace', 'patch', 'delete'])

/** The agent itself in the process of a test, with a clock that the test can put forward, and a diary of what it applies. */
export class TestAgent {
  /** Added to the time that the machine's clock shows, in milliseconds. */
  aheadMs = 0
  /** Time that has passed beside that which really has, in milliseconds. */
  passedMs = 0
  /** `Kind/name` of every object that it applied, in order; of its state with the generation. */
  readonly applied: string[] = []
  readonly #client: KubeClient
  readonly #fleet: TestFleet
  readonly #namespace: string
  readonly #logger: Logger
  #writesLeft: number | undefined
  #killed: (() => void) | undefined
  #running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  constructor(client: KubeClient, fleet: TestFleet, namespace: string, logger: Logger = testLogger) {
    this.#client = client
    this.#fleet = fleet
    this.#namespace = namespace
    this.#logger = logger
  }

  /** The namespace and the Secret that the agent is installed with. */
  async install(): Promise<void> {
    const { hubUrl, hubCa, cluster, token, root } = this.#fleet
    await this.#client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: this.#namespace } })
    await this.#client.create({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'muster-agent-bootstrap', namespace: this.#namespace },
      stringData: { 'hub-url': hubUrl, 'hub-ca.crt': hubCa, cluster, token, 'root.json': root },
    } as KubeObject)
  }

  start(): void {
    const stop = new AbortController()
    const clock: Clock = {
      ...systemClock,
      now: () => new Date(Date.now() + this.passedMs + this.aheadMs),
      monotonicMs: () => performance.now() + this.passedMs,
    }
    const settings = {
      namespace: this.#namespace,
      store: this.#fleet.store,
      pollMs: 200,
      watchSilenceMs: 150_000,
      probes: { host: '127.0.0.1', port: 0 },
      logLevel: 'error' as const,
      instance: 'agent-test',
      kubeconfig: undefined,
    }
    const ended = runAgent({ client: this.#watched(), settings, clock, logger: this.#logger }, stop.signal)
    ended.catch(() => undefined)
    this.#running = { stop, ended }
  }

  async end(): Promise<void> {
    this.#running?.stop.abort(new DOMException('test', 'AbortError'))
    await this.#running?.ended
    this.#running = undefined
  }

  /**
   * Kills the agent before its n-th write from now on, and waits for its end: nothing that it sends from there on arrives. Reports to the hub
   * and reads do not count. Where so many do not come, it ends when all is done.
   */
  async killBefore(write: number, done: Promise<unknown>): Promise<void> {
    this.#writesLeft = write
    const killed = new Promise<void>((resolve) => {
      this.#killed = resolve
    })
    await Promise.race([killed, done])
    await this.end()
    this.#writesLeft = undefined
  }

  /** Counts a write; of an agent that is killed it throws. */
  #count(key: string | symbol): void {
    if (this.#writesLeft === undefined || !writes.has(String(key))) return
    this.#writesLeft -= 1
    if (this.#writesLeft > 0) return
    this.#running?.stop.abort(new DOMException('killed', 'AbortError'))
    this.#killed?.()
    throw new DOMException('killed', 'AbortError')
  }

  /** The client, noting what is applied before it is. */
  #watched(): KubeClient {
    return new Proxy(this.#client, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        const bound = value.bind(target) as (...args: unknown[]) => unknown
        if (key !== 'apply') {
          return (...args: unknown[]) => {
            this.#count(key)
            return bound(...args)
          }
        }
        return async (object: KubeObject, ...rest: unknown[]) => {
          this.#count(key)
          const generation = (object['data'] as { generation?: string } | undefined)?.generation
          this.applied.push(`${object.kind}/${object.metadata.name}${generation === undefined ? '' : `@${generation}`}`)
          return bound(object, ...rest)
        }
      },
    })
  }
}
