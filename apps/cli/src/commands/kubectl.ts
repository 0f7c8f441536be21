import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Context, kubeconfigOf } from '../context.ts'
import { ExitCode } from '../errors.ts'
import { kubectlPath } from '../host.ts'

/** `muster kubectl CLUSTER -- …`: the kubectl that was built with the clusters, with the right kubeconfig. Its exit code is ours. */
export async function kubectl(context: Context, cluster: string, args: readonly string[]): Promise<void> {
  const kubeconfig = await kubeconfigOf(context, cluster)
  const child = spawn(await kubectlPath(context), args[0] === '--' ? args.slice(1) : [...args], {
    stdio: 'inherit',
    env: { ...context.environment, KUBECONFIG: kubeconfig },
  })
  // Ctrl-C reaches kubectl by itself: it decides what that means.
  const forward = (): void => {
    child.kill('SIGTERM')
  }
  context.signal.addEventListener('abort', forward, { once: true })
  try {
    const [code, killedBy] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    if (code !== 0) throw new ExitCode(code ?? (killedBy === 'SIGINT' || context.signal.aborted ? 130 : 1))
  } finally {
    context.signal.removeEventListener('abort', forward)
  }
}
