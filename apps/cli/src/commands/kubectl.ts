import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Context, kubeconfigOf } from '../context.ts'
import { ExitCode } from '../errors.ts'
import { kubectlPath } from '../host.ts'

/** `muster kubectl CLUSTER -- …`: the kubectl that was built with the clusters, with the right kubeconfig. Its exit code is ours. */
export async function kubectl(context: Context, cluster: string, args: readonly string[]): Promise<void> {
  const child = spawn(await kubectlPath(context), args[0] === '--' ? args.slice(1) : [...args], {
    stdio: 'inherit',
    env: { ...context.environment, KUBECONFIG: await kubeconfigOf(context, cluster) },
    signal: context.signal,
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new ExitCode(code ?? 1)
}
