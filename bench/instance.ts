import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { BenchInstance, UpTimes } from './harness.ts'
import { run } from './program.ts'

export const instanceId = 'bench'

export interface InstanceOptions {
  readonly checkout: string
  readonly state: string
  /** Environment on top of the process's own. */
  readonly env?: NodeJS.ProcessEnv
  readonly signal: AbortSignal
}

/** Brings up an instance that nobody had before, with the example, and measures how long that takes. */
export async function freshInstance(options: InstanceOptions): Promise<BenchInstance> {
  const { checkout, state, signal } = options
  const env = environment(options)
  const muster = path.join(checkout, 'muster')
  await purgeInstance(options)
  const started = performance.now()
  const { stderr } = await run(muster, ['up'], { env, signal })
  const up: UpTimes = { seconds: (performance.now() - started) / 1000, steps: stepsOf(stderr) }
  return {
    state,
    up,
    muster: async (...args) => (await run(muster, args, { env, signal })).stdout,
    kubeconfig: (cluster) => path.join(state, 'clusters', cluster, 'admin.kubeconfig'),
  }
}

/** Leaves nothing of the instance, whatever state it is in. A second Ctrl-C must not stop it. */
export async function purgeInstance(options: Omit<InstanceOptions, 'signal'>): Promise<void> {
  await run(path.join(options.checkout, 'muster'), ['down', '--purge'], { env: environment(options), detached: true })
  await rm(options.state, { recursive: true, force: true })
}

function environment({ state, env }: Pick<InstanceOptions, 'state' | 'env'>): NodeJS.ProcessEnv {
  return { ...process.env, ...env, MUSTER_INSTANCE: instanceId, MUSTER_STATE: state, NO_COLOR: '1' }
}

/** Without a terminal, `up` says of each step how long it took. */
function stepsOf(text: string): UpTimes['steps'] {
  return [...text.matchAll(/^✓ (.*) \((\d+\.\d) s\)$/gm)].map((match) => ({ title: match[1] ?? '', seconds: Number(match[2]) }))
}
