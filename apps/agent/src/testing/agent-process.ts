import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { run } from '../../../../test/environment/command.ts'

const keptLines = 200
/** Where it ends by itself it is started again after so long, in milliseconds, as a kubelet would. */
const againMs = 200

/** Makes one file of the agent, as in its image: that starts in a third of the time. */
export async function bundleAgent(file: string): Promise<void> {
  const from = createRequire(new URL('../../../../packages/image/package.json', import.meta.url))
  const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)"
  const options = ['--bundle', '--platform=node', '--target=node24', '--format=esm', '--log-level=error', `--banner:js=${banner}`]
  const main = fileURLToPath(new URL('../main.ts', import.meta.url))
  const { code, stderr } = await run(from.resolve('esbuild/bin/esbuild'), [main, ...options, `--outfile=${file}`])
  if (code !== 0) throw new Error(`The agent could not be bundled: ${stderr}`)
}

export interface AgentProcessOptions {
  /** The program, from `bundleAgent`. */
  readonly program: string
  /** A kubeconfig file. */
  readonly kubeconfig: string
  /** Of its Secrets and its state. */
  readonly namespace: string
  /** Folder for its content. */
  readonly store: string
  readonly env?: Readonly<Record<string, string>>
}

/** The agent as it is shipped, as a process of its own: to be killed at any moment. */
export class AgentProcess {
  /** How often it was started, by the test or because it had ended by itself. */
  starts = 0
  readonly #options: AgentProcessOptions
  readonly #log: string[] = []
  #child: ChildProcess | undefined
  #wanted = false

  constructor(options: AgentProcessOptions) {
    this.#options = options
  }

  /** What it said last, each start of it marked. */
  get log(): string {
    return this.#log.join('\n')
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** From now on it runs: should it end by itself, it is started again. */
  start(): void {
    if (this.#wanted) return
    this.#wanted = true
    this.#spawn()
  }

  /** `SIGKILL`, which takes effect before this returns; what it sent may still arrive. `start` starts the next one. */
  kill(): void {
    this.#wanted = false
    this.#child?.kill('SIGKILL')
  }

  /** Ends it, by default as a kubelet does, and waits for its end. */
  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.#wanted = false
    const child = this.#child
    if (child === undefined) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  #spawn(): void {
    const { program, kubeconfig, namespace, store, env } = this.#options
    const child = spawn(process.execPath, ['--max-semi-space-size=1', '--optimize-for-size', program], {
      env: {
        PATH: process.env['PATH'],
        NODE_ENV: 'test',
        KUBECONFIG: kubeconfig,
        MUSTER_NAMESPACE: namespace,
        MUSTER_STORE: store,
        MUSTER_POLL_MS: '200',
        MUSTER_PROBE_HOST: '127.0.0.1',
        MUSTER_PROBE_PORT: '0',
        MUSTER_LOG_LEVEL: 'info',
        HOSTNAME: 'agent-test',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    this.starts += 1
    this.#say(`--- start ${this.starts}`)
    for (const output of [child.stdout, child.stderr]) output.setEncoding('utf8').on('data', (text: string) => this.#say(text.trimEnd()))
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined
      void this.#restart()
    })
  }

  async #restart(): Promise<void> {
    if (!this.#wanted || this.#child !== undefined) return
    await pause(againMs)
    if (this.#wanted && this.#child === undefined) this.#spawn()
  }

  #say(text: string): void {
    if (process.env['MUSTER_TEST_LOG']) console.log(text)
    this.#log.push(...text.split('\n'))
    this.#log.splice(0, Math.max(0, this.#log.length - keptLines))
  }
}
