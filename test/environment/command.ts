import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { KubeClient, loadKubeconfig } from '@muster/kube'

export const checkout = path.resolve(import.meta.dirname, '../..')

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program to its end and gives what it printed. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<Outcome> {
  const child = spawn(command, [...args], {
    cwd: options.cwd ?? checkout,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code: code ?? -1, stdout, stderr }
}

/** An instance as a user has it: the command line and kubeconfigs. */
export interface Instance {
  readonly id: string
  readonly state: string
  muster(...args: string[]): Promise<Outcome>
  /** Like `muster`, but fails the test with what was printed when the exit code is not 0. */
  succeed(...args: string[]): Promise<string>
  client(cluster: string): Promise<KubeClient>
}

export function instanceOf(id: string, state: string): Instance {
  const env = { ...process.env, MUSTER_INSTANCE: id, MUSTER_STATE: state, NO_COLOR: '1' }
  const muster = (...args: string[]): Promise<Outcome> => run(path.join(checkout, 'muster'), args, { env })
  return {
    id,
    state,
    muster,
    async succeed(...args) {
      const outcome = await muster(...args)
      if (outcome.code !== 0) throw new Error(`muster ${args.join(' ')} ended with ${outcome.code}:\n${outcome.stdout}\n${outcome.stderr}`)
      return outcome.stdout
    },
    async client(cluster) {
      return new KubeClient(await loadKubeconfig(path.join(state, 'clusters', cluster, 'admin.kubeconfig')), { userAgent: 'muster-test' })
    },
  }
}

/** Asks again and again until the answer is not undefined; fails with what `describe` says at the deadline. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  options: { readonly withinMs: number; readonly what: string; readonly everyMs?: number },
): Promise<T> {
  const deadline = performance.now() + options.withinMs
  let failure: unknown
  do {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
      failure = undefined
    } catch (error) {
      failure = error
    }
    await pause(options.everyMs ?? 50)
  } while (performance.now() < deadline)
  throw new Error(`not within ${options.withinMs} ms: ${options.what}`, { cause: failure })
}
